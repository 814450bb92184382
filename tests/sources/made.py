"""Small files of every kind, made for a test."""

from __future__ import annotations

from pathlib import Path

START = 1_700_000_040_000 // 3_600_000 * 3_600_000  # a full hour, in ms


def kline_rows(count: int, step: int = 60_000, scale: int = 1, start: int = START) -> list[list[object]]:
    """Rows of a Binance dump; ``scale`` 1000 writes microseconds."""
    rows = []
    for number in range(count):
        opened = start + number * step
        price = 100 + number % 7
        rows.append(
            [
                opened * scale,
                price,
                price + 2,
                price - 1,
                price + 1,
                10 + number,
                (opened + step - 1) * scale,
                1000,
                5,
                4,
                400,
                0,
            ]
        )
    return rows


def csv_text(rows: list[list[object]], header: str = "", separator: str = ",", end: str = "\n") -> str:
    """Rows as CSV."""
    lines = ([header] if header else []) + [separator.join(str(cell) for cell in row) for row in rows]
    return end.join(lines) + end


def written(folder: Path, name: str, content: str | bytes) -> Path:
    """A file in the folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
