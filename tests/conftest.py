"""The servers that tests need, started from wheels; a missing one is a skip, in CI an error."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import redis

from tests.running import RunningService, free_port
from tests.servers import (
    Missing,
    S3Server,
    free_ports,
    start_s3,
    stop,
    valkey_command,
    wait_for_valkey,
)

ROOT = Path(__file__).parents[1]

#: `make test-vllm` runs these, in an environment that has vLLM; `pytest tests/gpu` those, where
#: CUDA is.
collect_ignore = ["gpu"] if importlib.util.find_spec("vllm") else ["gpu", "vllm"]


def pytest_configure() -> None:
    # Shells ignore it for what they start in the background, and each of our processes would, too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def missing(what: str) -> NoReturn:
    """A service that is not there: skip on a laptop, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must not skip")
    pytest.skip(f"{what} is missing")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("CASOLA_", "AWS_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("valkey")
    (port,) = free_ports(1)
    try:
        command = valkey_command(folder, port)
    except Missing as error:
        missing(str(error))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        wait_for_valkey(url)
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


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    try:
        server, process = start_s3(tmp_path_factory.mktemp("s3"))
    except Missing as error:
        missing(str(error))
    try:
        yield server
    finally:
        stop(process)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder with real pages and their true text, beside the project."""
    found = ROOT.parent / "shared" / "corpus"
    if not (found / "manifest.jsonl").exists():
        missing("the corpus")
    return found


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for all tests that leave it as they found it."""
    running = RunningService(
        data_dir=tmp_path_factory.mktemp("service") / "data",
        port=free_port(),
        environment={
            "CASOLA_FETCH_ALLOW_NETWORKS": "127.0.0.1/32",
            "CASOLA_FETCH_TIMEOUT_SECONDS": "4",
        },
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[Callable[..., RunningService]]:
    """Services of a test's own, to be killed at will."""
    made: list[RunningService] = []

    def make(**environment: str) -> RunningService:
        running = RunningService(
            data_dir=tmp_path / f"data{len(made)}",
            port=free_port(),
            # Short leases, so that a dead worker's page is given to another within seconds.
            environment={
                "CASOLA_LEASE_SECONDS": "4",
                "CASOLA_HEARTBEAT_SECONDS": "1",
                "CASOLA_RECONCILE_SECONDS": "0.5",
                **environment,
            },
        )
        made.append(running)
        return running.start()

    yield make
    for running in made:
        if running.process is not None and running.process.poll() is None:
            running.stop()
