"""What every test may use: the real files, and S3 services of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest

from tests.s3_servers import moto, seaweed

__all__ = ["moto", "seaweed"]

# a hundred child processes would each compile the lake anew, which takes longer than most of what they do
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# how long an example takes says more about the machine than about the code
hypothesis.settings.register_profile("steady", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("steady")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files; the test is skipped where it is absent, or fails if they are required."""
    given = os.environ.get("TRADELAKE_SHARED_DATA")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("TRADELAKE_REQUIRE_SHARED"):
            pytest.fail(f"the real files are required, and not in {folder}")
        pytest.skip("no real files: set TRADELAKE_SHARED_DATA to their folder")
    return folder


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting, credential or state of the person who runs the tests reaches them, nor the other way round."""
    for name in os.environ:
        if name.startswith(("LAKE_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
