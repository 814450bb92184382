"""Servers for tests of importers: a schema of PostgreSQL, and a database of Redis, for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
import redis as redis_py
from adbc_driver_postgresql import dbapi

POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
REDIS = "redis://127.0.0.1:6379"
_CLAIM, _CLAIM_SECONDS = "tradelake-test", 600


@dataclass(frozen=True)
class Postgres:
    """A schema of its own on a real server."""

    server: str
    schema: str

    @property
    def address(self) -> str:
        """As an importer is given it."""
        return f"{self.server}{'&' if '?' in self.server else '?'}schema={self.schema}"

    def run(self, *statements: str) -> None:
        """Run statements in the schema."""
        with dbapi.connect(self.server) as connection, connection.cursor() as cursor:
            for statement in (f"set local search_path = {self.schema}", *statements):
                cursor.execute(statement)
            connection.commit()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """An empty schema, dropped afterwards; the test is skipped where no server answers, or fails if one is required."""
    schema = Postgres(os.environ.get("TEST_POSTGRES_URL", POSTGRES), f"t{uuid4().hex[:12]}")
    try:
        schema.run(f"create schema {schema.schema}")
    except dbapi.OperationalError as error:
        absent(f"no PostgreSQL at {schema.server}, set TEST_POSTGRES_URL: {error}")
    yield schema
    schema.run(f"drop schema {schema.schema} cascade")


@dataclass(frozen=True)
class Redis:
    """A database of its own on a real server."""

    address: str
    server: redis_py.Redis


@pytest.fixture
def redis() -> Iterator[Redis]:
    """An empty database, emptied afterwards; skipped where no server answers, or failed if one is required."""
    server = os.environ.get("TEST_REDIS_URL", REDIS).rstrip("/")
    for number in range(1, 16):
        address = f"{server}/{number}"
        client = redis_py.Redis.from_url(address)
        try:
            is_mine = client.dbsize() == 0 and client.set(_CLAIM, uuid4().hex, nx=True, ex=_CLAIM_SECONDS)
        except redis_py.ConnectionError as error:
            client.close()
            absent(f"no Redis at {server}, set TEST_REDIS_URL: {error}")
        if is_mine:
            yield Redis(address, client)
            client.flushdb()
            client.close()
            return
        client.close()
    absent(f"no empty database at {server}")


def absent(why: str) -> None:
    """Skip a test whose server is absent, unless CI must not."""
    if os.environ.get("CI") == "true" and os.environ.get("TRADELAKE_REQUIRE_SHARED"):
        pytest.fail(why)
    pytest.skip(why)
