"""What each route answers when a part is missing: the table in docs/runbook.md, cell by cell."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from casola_ocr.errors import StoreUnavailable
from casola_ocr.model import JobStatus, Webhook
from casola_ocr.records.connection import MEMORY_SECONDS
from tests.servers import ValkeyServer
from tests.world import PNG, World, open_world, tiff

pytestmark = pytest.mark.valkey

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
DATA_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
TENANT = "acme"
#: Longer than an answer about Valkey's memory is remembered.
FORGOTTEN_SECONDS = MEMORY_SECONDS + 0.1


class Ailing:
    """A service with jobs: two ended, one with a webhook; one failed, one runs, one waits."""

    def __init__(self, world: World, server: ValkeyServer):
        self.world = world
        self.server = server
        world.service.tenants.create(TENANT)
        secret, _ = world.service.tokens.create(TENANT, admin=True)
        app = create_app(world.settings, world.service)
        self.client: FlaskClient = app.test_client()
        self.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
        self.announce()
        self.ended = world.submit_one()
        world.run()
        self.told = world.submit_one(webhook=Webhook("https://example.com/hook"))
        world.run()
        self.failed = world.submit_one(tiff(2)[:-200])
        world.settle()
        self.running = world.submit_one(tiff(2))
        work = world.work()
        work.run("prepare")
        work.run("pages.pp-ocrv6")
        # The process has seen its clients before.
        assert self.client.get("/api/v1/engines").status_code == 200

    def announce(self) -> None:
        self.world.records.pulse("worker", ["engine:pp-ocrv6", "engine:tesseract", "prepare"])
        self.world.records.pulse("reconciler", ["reconcile"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    made = ValkeyServer(tmp_path_factory.mktemp("valkey"))
    yield made
    made.stop()


def break_store(ailing: Ailing) -> None:
    ailing.world.store.fail_with = StoreUnavailable()


def mend_store(ailing: Ailing) -> None:
    ailing.world.store.fail_with = None


def fill(ailing: Ailing) -> None:
    ailing.world.raw.config_set("maxmemory", "1mb")


def empty(ailing: Ailing) -> None:
    ailing.world.raw.config_set("maxmemory", "0")


def make_read_only(ailing: Ailing) -> None:
    ailing.world.raw.config_set("replica-read-only", "yes")
    ailing.world.raw.replicaof("127.0.0.1", "1")


def make_writable(ailing: Ailing) -> None:
    ailing.world.raw.replicaof("NO", "ONE")


def lose_workers(ailing: Ailing) -> None:
    ailing.world.records.pulse("worker", [])


#: Column of the table → how the part goes missing, and how it comes back.
CONDITIONS: dict[str, tuple[Callable[[Ailing], object], Callable[[Ailing], object]]] = {
    "store down": (break_store, mend_store),
    "Valkey down": (lambda a: a.server.stop(), lambda a: a.server.start()),
    "Valkey full": (fill, empty),
    "Valkey read-only": (make_read_only, make_writable),
    "no live worker": (lose_workers, lambda a: a.announce()),
}


def upload(ailing: Ailing, **headers: str) -> Any:
    return ailing.client.post(
        "/api/v1/jobs", data={"file": (BytesIO(PNG), "a.png")}, headers=headers
    )


def chat(ailing: Ailing) -> Any:
    content = [{"type": "image_url", "image_url": {"url": DATA_URL}}]
    body = {"model": "auto", "messages": [{"role": "user", "content": content}]}
    return ailing.client.post("/v1/chat/completions", json=body)


def job(verb: str, which: str, more: str = "") -> Callable[[Ailing], Any]:
    def ask(ailing: Ailing) -> Any:
        return ailing.client.open(f"/api/v1/jobs/{getattr(ailing, which)}{more}", method=verb)

    return ask


def get(path: str) -> Callable[[Ailing], Any]:
    return lambda ailing: ailing.client.get(path)


def replay(ailing: Ailing) -> Any:
    name = ailing.told.removeprefix("req_")
    return ailing.client.post(f"/api/v1/jobs/{ailing.told}/deliveries/msg_{name}_1/replay")


#: Row of the table → the request.
REQUESTS: dict[str, Callable[[Ailing], Any]] = {
    "`POST /api/v1/jobs`": upload,
    "… with an idempotency key": lambda a: upload(a, **{"Idempotency-Key": "once"}),
    "`POST /fal/ocr`": lambda a: a.client.post("/fal/ocr", json={"image_url": DATA_URL}),
    "`POST /v1/chat/completions`": chat,
    "`GET` a running job": job("GET", "running"),
    "its page that was read": job("GET", "running", "/pages/1"),
    "its partial result": job("GET", "running", "/result"),
    "`GET` an ended job": job("GET", "ended"),
    "its result": job("GET", "ended", "/result"),
    "cancel a running job": job("POST", "running", "/cancel"),
    "retry failed pages": job("POST", "failed", "/retry"),
    "delete an ended job": job("DELETE", "ended"),
    "deliveries of a job": job("GET", "told", "/deliveries"),
    "replay a delivery": replay,
    "library": get("/api/v1/library"),
    "engines, models": get("/v1/models"),
    "dead letters": get("/api/v1/dead"),
    "status of the service": get("/api/v1/status"),
    "`GET /healthz`": get("/healthz"),
    "`GET /readyz`": get("/readyz"),
}


def table() -> dict[tuple[str, str], str]:
    """(request, condition) → what the runbook says is answered."""
    lines = RUNBOOK.read_text(encoding="utf-8").split("## Degraded modes", 1)[1].splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|") and not line.startswith("|---")
    ]
    head = rows[0][1:]
    first = next(n for n, row in enumerate(rows) if row[0].startswith("on return"))
    return {(row[0], name): cell for row in rows[1:first] for name, cell in
            zip(head, row[1:], strict=True)}  # fmt: skip


def shown(answer: Any) -> str:
    """An answer as the table writes it: the status, and the code of an error."""
    found = re.search(r'"(?:code|error_type)":\s*"([a-z_]+)"', answer.get_data(as_text=True))
    code = f" {found[1]}" if found and answer.status_code >= 400 else ""
    return f"{answer.status_code}{code}"


@pytest.mark.parametrize("condition", CONDITIONS)
def test_each_route_answers_as_the_runbook_says_and_work_goes_on_afterwards(
    server: ValkeyServer, condition: str
) -> None:
    broken, mended = CONDITIONS[condition]
    with open_world(server.url, sync_timeout_seconds=1) as world:
        world.raw.flushall()
        world.announce()
        ailing = Ailing(world, server)
        broken(ailing)
        time.sleep(FORGOTTEN_SECONDS)
        answers = {name: ask(ailing) for name, ask in REQUESTS.items()}
        mended(ailing)
        time.sleep(FORGOTTEN_SECONDS)
        ailing.announce()
        for _ in range(3):
            world.reconcile()
            world.settle()
        assert {name: shown(answer) for name, answer in answers.items()} == {
            row: cell for (row, column), cell in table().items() if column == condition
        }
        for name, answer in answers.items():
            if answer.status_code >= 500 and name != "`GET /readyz`":
                assert int(answer.headers["Retry-After"]) > 0, name
        status = world.jobs.get(TENANT, ailing.running).status
        assert status in (JobStatus.COMPLETED, JobStatus.CANCELLED)
        assert world.inflight() == []
        assert upload(ailing).status_code == 202
        world.settle()
