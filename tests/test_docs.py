from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import lake
from lake.importers.registry import kinds
from lake.kernels import market
from tests.learn.test_loop import crosses

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_every_notebook_runs(path: Path) -> None:
    names: dict[str, object] = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["before"]["symbols"][0] == 2  # type: ignore[index]


def test_the_page_on_importing_lists_every_kind_of_store() -> None:
    page = (ROOT / "docs" / "importing.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE) == [importer.name for importer in kinds()]


def record_phantoms(path: Path) -> None:
    """Five weeks of candles, and signals of a strategy on them."""
    quarters = market.candles("ETHUSDT", 1_767_225_600_000_000, 3400, price=3000.0, seed=3, timeframe="15m")
    with lake.open(path, bot_id="cross") as lk:
        lk.write("candles", quarters)
        lk.write("phantoms", crosses(quarters))


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    frame = market.candles("BTCUSDT", 1_767_225_600_000_000, 90, price=93_000.0, seed=1).drop(
        "venue", "symbol", "timeframe"
    )
    names: dict[str, object] = {"frame": frame, "other": frame, "pl": __import__("polars")}
    assert len(blocks) == 3
    for block in blocks:
        if "lk.label" in block:
            record_phantoms(tmp_path / "my-lake")
        exec(block, names)
        opened = names["lk"]
        assert isinstance(opened, lake.Lake)
        opened.close()


def test_every_file_that_the_readme_points_at_is_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
