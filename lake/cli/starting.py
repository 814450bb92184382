"""``lake init``: make a lake and its settings file."""

from __future__ import annotations

from lake.cli.app import Context, command
from lake.settings import Settings
from lake.store.opening import SETTINGS_FILE


@command()
def init(ctx: Context) -> None:
    """Make an empty lake, with a settings file that explains itself."""
    with ctx.open(create=True) as lk:
        lk.location.create(SETTINGS_FILE, Settings().to_toml().encode())
        uri = lk.location.uri
    ctx.output.result({"lake": uri}, f"a lake is at {uri}")
