"""What can be tuned about a lake: defaults, under its ``_lake/settings.toml``, under ``LAKE_*`` variables."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import date
from pathlib import PurePosixPath
from typing import Any, Final

from lake.errors import UsageError

DURABILITIES: Final = ("full", "normal")
_PREFIX: Final = "LAKE_"
_TABLES: Final = ("retention_days", "knowledge_cutoffs")  # options that map names to values


def _option(default: Any, meaning: str, *, low: float = 0, high: float = float("inf")) -> Any:
    return field(default=default, metadata={"meaning": meaning, "low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """The settings of one lake; each is explained where it is declared.

    Raises:
        UsageError: a value of the wrong type, or out of its bounds.
    """

    durability: str = _option(
        "full", "full: acknowledged after an fsync; normal: a power cut may lose the last moments"
    )
    target_file_mb: int = _option(128, "size that compaction makes data files", low=1, high=4096)
    write_zstd: int = _option(0, "compression of fresh files: 0 is snappy, the fastest", low=0, high=22)
    compact_zstd: int = _option(12, "compression of compacted files: small", low=1, high=22)
    drain_rows: int = _option(50_000, "hot rows that start a drain", low=1)
    drain_seconds: float = _option(60.0, "seconds between drains, at most", low=0.1)
    checkpoint_every: int = _option(50, "Delta commits between checkpoints of a table", low=1)
    log_retention_days: int = _option(30, "days that Delta log entries are kept, for reading the past", low=1)
    reader_grace_hours: float = _option(24.0, "hours that replaced files stay, for readers that still use them")
    busy_timeout_ms: int = _option(5_000, "how long a writer waits for the hot log before it spools", low=0)
    cache_mb: int = _option(256, "memory for candles read a moment ago, in each process that reads", low=0)
    hot_folder: str = _option("", "parent folder of the hot logs of lakes on S3; empty: the user's state folder")
    retention_days: Mapping[str, int] = field(
        default_factory=dict,
        metadata={"meaning": "days that rows of a dataset are kept; one that is not named is kept for ever", "low": 1},
    )
    knowledge_cutoffs: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "meaning": 'last day that a model was trained on, such as "gpt-x" = "2025-06-30"; a name may end in *'
        },
    )

    def __post_init__(self) -> None:
        for option in fields(self):
            _check(option, getattr(self, option.name), option.name)
        if self.hot_folder and not PurePosixPath(self.hot_folder).is_absolute():
            raise UsageError("it must be an absolute path", where="setting hot_folder", value=self.hot_folder)

    def hot_folder_for(self, uri: str) -> str:
        """Folder of the hot logs of the remote lake at ``uri``, one per lake; ``""`` when none is known.

        >>> Settings(hot_folder="/var/lib/tradelake").hot_folder_for("s3://bots/lake")
        '/var/lib/tradelake/6e4f60375b7da0bf'
        """
        if not self.hot_folder:
            return ""
        return f"{self.hot_folder}/{hashlib.sha256(uri.encode()).hexdigest()[:16]}"

    def to_toml(self) -> str:
        """The settings as the text of a settings file, each under its meaning.

        >>> load(Settings(drain_rows=5).to_toml(), {}).drain_rows
        5
        """
        plain = [option for option in fields(self) if option.name not in _TABLES]
        lines = [line for option in plain for line in _toml_lines(option, getattr(self, option.name))]
        for option in fields(self):
            if option.name in _TABLES:
                lines += [f"# {option.metadata['meaning']}", f"[{option.name}]"]
                lines += [f"{_quoted(name)} = {_toml(v)}" for name, v in sorted(getattr(self, option.name).items())]
        return "\n".join(lines) + "\n"


def load(text: str | None, env: Mapping[str, str]) -> Settings:
    """The settings that a file's text and the environment make.

    Args:
        text: TOML, None where the lake has no settings file.
        env: the environment; ``LAKE_DRAIN_ROWS=500`` sets ``drain_rows``, and
            ``LAKE_RETENTION_DAYS=candles=30,signals=365`` a mapping, as does
            ``LAKE_KNOWLEDGE_CUTOFFS=gpt-x=2025-06-30``. ``XDG_STATE_HOME`` or ``HOME`` gives ``hot_folder`` its
            default.

    >>> load("drain_rows = 100", {"LAKE_DRAIN_SECONDS": "5"}).drain_seconds
    5.0

    Raises:
        UsageError: text that is not TOML, an unknown key, or a bad value.
    """
    known = {option.name: option for option in fields(Settings)}
    given = _parsed(text)
    for key in given:
        if key not in known:
            raise UsageError(
                "unknown setting", where="settings.toml", value=key, todo=f"Known are: {', '.join(known)}."
            )
    for name, option in known.items():
        raw = env.get(_PREFIX + name.upper())
        if raw:
            given[name] = _from_text(option, raw)
    given["hot_folder"] = _hot_folder(given.get("hot_folder", ""), env)
    if isinstance(cutoffs := given.get("knowledge_cutoffs"), Mapping):  # TOML knows dates, with quotes and without
        given["knowledge_cutoffs"] = {k: v.isoformat() if type(v) is date else v for k, v in cutoffs.items()}
    return Settings(**{name: _widened(known[name], value) for name, value in given.items()})


def _parsed(text: str | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text or "")
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"not a TOML file: {error}", where="settings.toml", todo="Mend the line, or delete the file."
        ) from error


def _hot_folder(given: Any, env: Mapping[str, str]) -> Any:
    home = env.get("HOME", "")
    if given and isinstance(given, str):
        return home + given[1:] if given.startswith("~/") and home else given
    state = env.get("XDG_STATE_HOME") or (f"{home}/.local/state" if home else "")
    return given or (f"{state}/tradelake" if state else "")


def _widened(option: Field[Any], value: Any) -> Any:
    """Whole numbers serve where a fraction may stand."""
    return float(value) if option.type == "float" and type(value) is int else value


def _from_text(option: Field[Any], raw: str) -> Any:
    try:
        if option.name in _TABLES:
            pairs = (pair.rpartition("=") for pair in raw.split(",") if pair.strip())
            kind = int if option.name == "retention_days" else str
            return {name.strip(): kind(value.strip()) for name, _, value in pairs}
        return {"int": int, "float": float, "str": str}[str(option.type)](raw)
    except ValueError:
        raise UsageError(
            f"it is of type {option.type}",
            where=_PREFIX + option.name.upper(),
            value=raw,
            todo=f"{option.metadata['meaning']}.",
        ) from None


def _check(option: Field[Any], value: Any, name: str) -> None:
    """Refuse a value that is not of the option's type, or not within its bounds."""
    if option.name == "retention_days" and name == option.name:
        if not isinstance(value, Mapping):
            raise _bad(option, name, value, "a table of dataset = days")
        for dataset, days in value.items():
            _check(option, days, f"{name}.{dataset}")
        return
    if option.name == "knowledge_cutoffs":
        _check_cutoffs(option, value)
        return
    if option.name == "durability":
        if value not in DURABILITIES:
            raise _bad(option, name, value, " or ".join(DURABILITIES))
        return
    kind = {"int": int, "float": float, "str": str}.get(str(option.type), int)
    if type(value) is not kind:
        raise _bad(option, name, value, {int: "a whole number", float: "a number", str: "text"}[kind])
    low, high = option.metadata["low"], option.metadata.get("high", float("inf"))
    if isinstance(value, int | float) and not low <= value <= high:
        raise _bad(option, name, value, f"at least {low}" + (f" and at most {high}" if high != float("inf") else ""))


def _check_cutoffs(option: Field[Any], value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _bad(option, option.name, value, 'a table of "model" = "date"')
    for model, day in value.items():
        try:
            date.fromisoformat(day)
        except (TypeError, ValueError):
            raise _bad(option, f"{option.name}.{model}", day, "a date such as 2025-06-30") from None


def _bad(option: Field[Any], name: str, value: Any, wanted: str) -> UsageError:
    return UsageError(
        f"it must be {wanted}", where=f"setting {name}", value=value, todo=f"Meaning: {option.metadata['meaning']}."
    )


def _toml_lines(option: Field[Any], value: Any) -> list[str]:
    return [f"# {option.metadata['meaning']}", f"{option.name} = {_toml(value)}"]


def _toml(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
