"""One run: start everything, load and faults side by side, leave it alone, look at the ruins."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import boto3
from botocore.config import Config

from casola_ocr.service import Service
from casola_ocr.settings import Settings
from tests.chaos import memory, report
from tests.chaos.check import Check, ListKeys, directory_keys, drain, s3_keys
from tests.chaos.client import Client
from tests.chaos.cluster import API, Cluster, free_ports, specs, wait_until_ready
from tests.chaos.faults import CLOCK_HOST, Monkey, World, kinds_for, schedule
from tests.chaos.hooks import HookServer
from tests.chaos.ledger import Findings, Ledger
from tests.chaos.load import Load, LoadSettings, WebServer
from tests.chaos.proxy import StoreProxy
from tests.chaos.report import Report
from tests.chaos.watch import Watch
from tests.servers import S3Server, start_s3, stop

VERBS = ("cancel", "delete", "retry", "idempotency")
#: A file system of its own for the store that is to be full; large enough for a long run.
DISK_BYTES = 512 * 1024 * 1024
MEMORY_DISK = Path("/dev/shm")
PREFIX = "chaos"
#: Fault → what it needs of the machine.
NEEDS = {
    "clock": "'clock' needs libfaketime: apt-get install faketime",
    "full-disk": "'full-disk' needs a small file system: root, to mount one in memory",
}
#: The harness has addresses that never answer; the default of a minute would hold a prepare
#: worker that long for each.
FETCH_SECONDS = 5
#: Its receiver of webhooks hangs longer than this, and takes what comes again soon after.
WEBHOOK_SECONDS = 3
WEBHOOK_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class RunSettings:
    seconds: float
    seed: int
    faults: tuple[str, ...]
    store: str = "s3"
    verbs: frozenset[str] = frozenset(VERBS)
    #: 0: the service's own default.
    lease_seconds: int = 0
    most_open: int = 200
    folder: Path | None = None


@dataclass(frozen=True)
class _Store:
    """The store of a run: the service's settings for it, and ways to it that faults do not meet."""

    environment: dict[str, str]
    keys: ListKeys
    proxy: StoreProxy | None = None
    disk: Path | None = None


def run(settings: RunSettings, say: Callable[[str], None]) -> Report:
    """Everything that is started here is ended here, whatever happens.

    Raises:
        RuntimeError: a fault cannot be done on this machine; the message says what it needs.
    """
    folder = settings.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    say(f"logs: {folder / 'logs'}")
    found = _run(settings, folder, say)
    if found.ok and settings.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _run(settings: RunSettings, folder: Path, say: Callable[[str], None]) -> Report:
    shown = {**asdict(settings), "faults": ",".join(settings.faults)}
    made = Report({**shown, "verbs": ",".join(sorted(settings.verbs))})
    lease = settings.lease_seconds or int(Settings.model_fields["lease_seconds"].default)
    ledger, findings = Ledger(), Findings()
    ports = free_ports(len(API) + 2, random.Random())
    valkey_url = f"redis://127.0.0.1:{ports[0]}/0"
    urls = [f"http://127.0.0.1:{port}" for port in ports[1 : 1 + len(API)]]
    logs = folder / "logs"
    with ExitStack() as stack:
        store = stack.enter_context(_store(settings, folder, ports[-1]))
        clock, preload = _clock(settings, folder)
        environment = {
            "CASOLA_REDIS_URL": valkey_url,
            "CASOLA_CPU_WORKERS": "2",
            "CASOLA_CPU_THREADS": "1",
            "CASOLA_SLOTS": "4",
            # A fault a second takes the worker of one page three times now and then.
            "CASOLA_MAX_ATTEMPTS": "5",
            "CASOLA_PREPARE_WORKERS": "2",
            "CASOLA_FETCH_ALLOW_NETWORKS": "127.0.0.1/32",
            "CASOLA_FETCH_TIMEOUT_SECONDS": str(FETCH_SECONDS),
            "CASOLA_WEBHOOK_TIMEOUT_SECONDS": str(WEBHOOK_SECONDS),
            "CASOLA_WEBHOOK_PAUSE_SECONDS": str(WEBHOOK_PAUSE_SECONDS),
            **({"CASOLA_LEASE_SECONDS": str(lease)} if settings.lease_seconds else {}),
            **store.environment,
        }
        processes = specs(folder, ports[: 1 + len(API)], environment, preload)
        cluster = Cluster(processes, logs)
        stack.callback(cluster.close)
        made.ready_seconds = wait_until_ready(cluster, urls, logs)
        say(f"ready after {made.ready_seconds:.1f} s")
        sampler = memory.Sampler(cluster)
        watch = Watch(valkey_url, ledger)
        stack.callback(watch.close)
        client = Client(urls, ledger, findings, settings.seed)
        stack.callback(client.close)
        asked = LoadSettings(settings.seed, settings.verbs, settings.most_open)
        web = WebServer(asked)
        stack.callback(web.close)
        hooks = HookServer(settings.seed)
        stack.callback(hooks.close)
        world = World(cluster, watch, findings, urls, lease, store.proxy, store.disk, clock)
        load = Load(asked, client, ledger, findings, web.url, hooks.url)
        stack.callback(load.close)
        monkey = Monkey(world, schedule(settings.seed, settings.seconds, [*settings.faults]), say)
        stack.callback(monkey.stop)

        time.sleep(settings.seconds)
        say("the load and the faults end")
        monkey.stop()
        undone = time.monotonic()
        load.stop()
        if drain(load.busy) is not None:
            made.drain_seconds = time.monotonic() - undone
        say("checking")
        monkey.close()
        service = Service.open(_settings(valkey_url, store.environment))
        stack.callback(service.records.close_connections)
        check = Check(client, watch, ledger, findings, store.keys, service, hooks)
        check.run()
        load.close()
        usages = sampler.close()
        made.starts = cluster.starts()
    made.requests = {name: count for name, count in ledger.counts.items() if count}
    made.outcome = {
        "jobs accepted": len(ledger.jobs),
        "pages of accepted jobs": sum(len(job.file.pages) for job in ledger.jobs.values()),
        "jobs LOST": 0,
        **check.counts,
        **hooks.counts(),
    }
    made.faults = [fault.to_dict() for fault in sorted(monkey.happened, key=lambda f: f.at)]
    made.recovery = report.recovery(monkey.happened)
    made.memory = memory.by_role(usages)
    made.processes = [asdict(usage) for usage in usages]
    made.logged = report.logged(logs)
    made.violations = dict(findings.counts)
    made.examples = findings.examples
    return made


def _settings(valkey_url: str, variables: dict[str, str]) -> Settings:
    """The service's settings in this process, whose environment stays as it is."""
    named = {name.removeprefix("CASOLA_").lower(): value for name, value in variables.items()}
    return Settings(redis_url=valkey_url, **named)


def missing_faults(store: str) -> dict[str, str]:
    """Faults that cannot be done on this machine, and what they need."""
    able = {"clock": _faketime() is not None, "full-disk": os.geteuid() == 0 or _small_disk()}
    return {name: NEEDS[name] for name in kinds_for(store) if not able.get(name, True)}


def _faketime() -> Path | None:
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def _small_disk() -> bool:
    """Whether the file system in memory is small enough to be filled."""
    return MEMORY_DISK.is_dir() and shutil.disk_usage(MEMORY_DISK).free <= 2 * DISK_BYTES


@contextmanager
def _store(settings: RunSettings, folder: Path, port: int) -> Iterator[_Store]:
    if settings.store == "directory":
        with _disk(folder / "objects", "full-disk" in settings.faults) as root:
            yield _Store(
                {"CASOLA_OBJECT_STORE": f"file://{root / 'store'}"},
                directory_keys(root / "store"),
                disk=root,
            )
        return
    (folder / "s3").mkdir()
    server, process = start_s3(folder / "s3")
    try:
        proxy = StoreProxy(port, int(server.endpoint_url.rsplit(":", 1)[1]))
        try:
            environment = {
                "CASOLA_OBJECT_STORE": f"s3://{server.bucket}/{PREFIX}",
                "CASOLA_S3_ENDPOINT_URL": proxy.url,
                "AWS_ACCESS_KEY_ID": server.access_key_id,
                "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
                "AWS_REGION": "us-east-1",
            }
            yield _Store(environment, _s3_keys(server), proxy)
        finally:
            proxy.close()
    finally:
        stop(process)


def _s3_keys(server: S3Server) -> ListKeys:
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    return s3_keys(client, server.bucket, PREFIX)


@contextmanager
def _disk(root: Path, small: bool) -> Iterator[Path]:
    """A folder; on a small file system of its own where the disk is to become full."""
    root.mkdir()
    if not small:
        yield root
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "chaos", str(root)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode == 0:
        try:
            yield root
        finally:
            subprocess.run(["umount", "--lazy", str(root)], check=True)
        return
    if not _small_disk():
        raise RuntimeError(
            f"{NEEDS['full-disk']} ({mounted.stderr.strip()}), or leave the fault out with "
            "--without full-disk."
        )
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK, prefix="chaos-") as folder:
        yield Path(folder)


def _clock(settings: RunSettings, folder: Path) -> tuple[Path | None, dict[str, dict[str, str]]]:
    """The file that one worker's clock obeys, and the variables that make it so."""
    if "clock" not in settings.faults:
        return None, {}
    library = _faketime()
    if library is None:
        raise RuntimeError(f"{NEEDS['clock']}, or leave the fault out with --without clock.")
    file = folder / "clock"
    file.write_text("+0")
    variables = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        # Else the file is read once in ten seconds.
        "FAKETIME_NO_CACHE": "1",
        # A jump of the wall clock leaves the monotonic one alone.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    return file, {CLOCK_HOST: variables}
