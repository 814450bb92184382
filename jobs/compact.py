"""Make few, tight files of many loose ones, then delete those that nothing needs any more."""

from __future__ import annotations

from typing import Any

from jobs.running import job
from lake import Lake


def work(lk: Lake) -> dict[str, Any]:
    """Make few, tight files of many loose ones, then delete those that nothing needs any more."""
    done = lk.compact()
    gone = lk.vacuum()
    return {
        "files_before": done.files_before,
        "files_after": done.files_after,
        "bytes_before": done.bytes_before,
        "bytes_after": done.bytes_after,
        "files_deleted": gone.files_before,
    }


main = job("compact", work)

if __name__ == "__main__":
    main()
