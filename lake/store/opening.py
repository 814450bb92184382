"""Open or create a lake: its format file, its settings, and what a power cut left undone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace

from lake.clock import now_micros
from lake.errors import NewerLakeError, NotALakeError, UsageError
from lake.settings import Settings, load
from lake.store.location import Location, resolve
from lake.store.store import Store

FORMAT = 1
FORMAT_FILE = "_lake/format.json"
SETTINGS_FILE = "_lake/settings.toml"


def open_store(
    uri: str,
    *,
    bot_id: str = "",
    durability: str | None = None,
    storage_options: Mapping[str, str] | None = None,
    create: bool = True,
) -> Store:
    """Open the lake at ``uri``; make it when ``create`` and nothing is there.

    Raises:
        NotALakeError: the address holds no lake, and none was to be made, or holds other files.
        NewerLakeError: a newer version of Tradelake wrote it.
        StorageError: the address cannot be reached.
    """
    location = resolve(uri, storage_options)
    raw = location.read_or_none(FORMAT_FILE)
    if raw is None:
        _create(location, create)
    else:
        _check_format(raw, location.uri)
    settings = read_settings(location)
    if durability is not None:
        settings = replace(settings, durability=durability)
    return Store(location, settings, bot_id)


def read_settings(location: Location) -> Settings:
    """The lake's settings: its file over the defaults, the environment over both."""
    raw = location.read_or_none(SETTINGS_FILE)
    try:
        text = raw.decode() if raw else None
    except UnicodeDecodeError as error:
        where = f"{location.uri}/{SETTINGS_FILE}"
        raise UsageError(f"it is not UTF-8: {error.reason}", where=where, todo="Save it as UTF-8.") from error
    return load(text, os.environ)


def _create(location: Location, create: bool) -> None:
    if not create:
        raise NotALakeError(
            "there is no lake here", where=location.uri, todo="Make one with `lake init`, or check the path."
        )
    # a lone _lake is one that another process is making, or was cut off in making
    found = [n for n in location.list_names("") if not n.startswith(".") and n != "_lake"]
    if found:
        raise NotALakeError(
            "the folder holds other files and no lake",
            where=location.uri,
            value=sorted(found)[:3],
            todo="Choose an empty folder, or a new one.",
        )
    if not location.is_local:
        location.probe_conditional_put()
    text = json.dumps({"format": FORMAT, "created": now_micros()}).encode()
    location.create(FORMAT_FILE, text)


def _check_format(raw: bytes, where: str) -> None:
    try:
        found = int(json.loads(raw)["format"])
    except (ValueError, KeyError, TypeError):
        raise NotALakeError("its format file is damaged", where=f"{where}/{FORMAT_FILE}", value=raw[:60]) from None
    if found > FORMAT:
        raise NewerLakeError(
            f"it was written in format {found}, this version reads up to {FORMAT}",
            where=where,
            todo="Upgrade Tradelake: pip install -U tradelake.",
        )
