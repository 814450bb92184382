"""``python -m lake``: the ``lake`` command, where it is not on the path."""

from lake.cli import main

if __name__ == "__main__":
    main(prog_name="lake")
