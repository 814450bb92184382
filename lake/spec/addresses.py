"""Addresses of stores: what they name, and how they are told without their passwords."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

_SERVERS = ("postgresql", "postgres", "redis", "rediss", "unix")


def is_server(source: str) -> bool:
    """Whether it is the address of a server, and not a path."""
    return urlsplit(source).scheme in _SERVERS


def shown(source: str) -> str:
    """The source as reports name it: of what an address says behind ``?`` its schema alone.

    >>> shown("postgresql://bot:secret@localhost/trades?schema=live"), shown("data/trades.json")
    ('postgresql://bot@localhost/trades?schema=live', 'data/trades.json')
    >>> shown("postgresql://localhost/trades?password=secret&user=bot")
    'postgresql://localhost/trades'
    """
    if not is_server(source):
        return source
    parts = urlsplit(source)
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    schema = parted(source)[1]
    query = urlencode({"schema": schema}, quote_via=quote) if schema else ""
    return urlunsplit((parts.scheme, f"{user}{parts.hostname or ''}{port}", parts.path, query, ""))


def parted(source: str) -> tuple[str, str]:
    """Address of PostgreSQL as its driver takes it, and the schema that it names.

    >>> parted("postgresql://bot@localhost/trades?schema=live")
    ('postgresql://bot@localhost/trades', 'live')
    """
    parts = urlsplit(source)
    query = parse_qsl(parts.query)
    rest = urlencode([(name, value) for name, value in query if name != "schema"], quote_via=quote)
    return urlunsplit(parts._replace(query=rest)), dict(query).get("schema", "")
