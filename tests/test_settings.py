"""Settings: defaults, under the file, under the environment; bad ones refused by name."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import UsageError
from lake.settings import Settings, load


def test_without_a_file_and_an_environment_the_defaults_hold() -> None:
    assert load(None, {}) == Settings()
    assert Settings().durability == "full"
    assert Settings().retention_days == {}


def test_the_environment_overrides_the_file_and_the_file_the_defaults() -> None:
    found = load(
        "drain_rows = 7\ntarget_file_mb = 64\n[retention_days]\ncandles = 30",
        {"LAKE_DRAIN_ROWS": "9", "LAKE_DURABILITY": "normal"},
    )
    assert (found.drain_rows, found.target_file_mb, found.durability) == (9, 64, "normal")
    assert found.retention_days == {"candles": 30}


def test_retention_can_come_from_the_environment() -> None:
    assert load(None, {"LAKE_RETENTION_DAYS": "candles=30, signals=365"}).retention_days == {
        "candles": 30,
        "signals": 365,
    }


def test_other_variables_of_the_lake_are_no_settings() -> None:
    assert load(None, {"LAKE_URI": "s3://x", "LAKE_DRAIN_ROWS": ""}) == Settings()


def test_an_unknown_key_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown setting.*'drain_row'.*drain_rows"):
        load("drain_row = 5", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("durability = 'fast'", "setting durability: it must be full or normal.*'fast'"),
        ("drain_rows = 0", "setting drain_rows: it must be at least 1.*0"),
        ("drain_rows = '5'", "setting drain_rows: it must be a whole number.*'5'"),
        ("drain_rows = true", "setting drain_rows: it must be a whole number.*True"),
        ("drain_rows = 1.5", "setting drain_rows: it must be a whole number.*1.5"),
        ("drain_seconds = nan", "setting drain_seconds: it must be at least 0.1.*nan"),
        ("compact_zstd = 23", "setting compact_zstd: it must be at least 1 and at most 22.*23"),
        ("hot_folder = 'here'", "setting hot_folder: it must be an absolute path.*'here'"),
        ("hot_folder = 5", "setting hot_folder: it must be text.*5"),
        ("retention_days = 30", "setting retention_days: it must be a table.*30"),
        ("[retention_days]\ncandles = 0", "setting retention_days.candles: it must be at least 1.*0"),
        ("[retention_days]\ncandles = 'x'", "setting retention_days.candles: it must be a whole number.*'x'"),
        ("drain_rows = ", "settings.toml: not a TOML file"),
    ],
)
def test_a_bad_value_is_refused_with_its_name(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(text, {})


@pytest.mark.parametrize(
    ("name", "value"), [("LAKE_DRAIN_ROWS", "many"), ("LAKE_DRAIN_SECONDS", "1m"), ("LAKE_RETENTION_DAYS", "candles")]
)
def test_a_bad_variable_is_refused_by_its_own_name(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"{name}.*'{value}'"):
        load(None, {name: value})


def test_whole_numbers_serve_where_a_fraction_may_stand() -> None:
    assert load("drain_seconds = 5", {}).drain_seconds == 5.0


def test_hot_logs_of_two_remote_lakes_never_share_a_folder() -> None:
    settings = load(None, {"LAKE_HOT_FOLDER": "/var/lib/tradelake"})
    one, other = settings.hot_folder_for("s3://b/one"), settings.hot_folder_for("s3://b/other")
    assert one != other
    assert one.startswith("/var/lib/tradelake/")


def test_hot_logs_go_to_the_users_state_folder() -> None:
    uri = "s3://b/x"
    assert load(None, {"XDG_STATE_HOME": "/state", "HOME": "/h"}).hot_folder_for(uri).startswith("/state/tradelake/")
    assert load(None, {"HOME": "/h"}).hot_folder_for(uri).startswith("/h/.local/state/tradelake/")
    assert load("hot_folder = '~/hot'", {"HOME": "/h"}).hot_folder_for(uri).startswith("/h/hot/")
    assert load(None, {}).hot_folder_for(uri) == ""


@given(
    st.builds(
        Settings,
        drain_rows=st.integers(1, 10**9),
        drain_seconds=st.floats(0.1, 1e9),
        durability=st.sampled_from(["full", "normal"]),
        hot_folder=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])).map(lambda name: f"/{name}"),
        retention_days=st.dictionaries(st.sampled_from(["candles", "signals"]), st.integers(1, 10_000)),
    )
)
def test_written_settings_read_back_the_same(settings: Settings) -> None:
    text = settings.to_toml()
    tomllib.loads(text)
    assert load(text, {}) == settings
