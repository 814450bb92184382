"""Addresses of stores: what they name, and how they are told without their passwords."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

_SERVERS = ("postgresql", "postgres", "redis", "rediss", "unix")


def is_server(source: str) -> bool:
    """Whether it is the address of a server, and not a path."""
    return urlsplit(source).scheme in _SERVERS


def shown(source: str) -> str:
    """The source as reports name it.

    >>> shown("postgresql://bot:secret@localhost/trades"), shown("data/trades.json")
    ('postgresql://bot@localhost/trades', 'data/trades.json')
    """
    if not is_server(source):
        return source
    parts = urlsplit(source)
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{user}{parts.hostname or ''}{port}", parts.path, "", ""))
