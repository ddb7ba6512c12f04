"""The operators' commands on a service that has failures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.app import create_app
from casola_ocr import fsck
from casola_ocr.cli import app as cli
from casola_ocr.model import JobStatus
from casola_ocr.service import Service
from casola_ocr.settings import Settings
from tests.served import on_a_port
from tests.world import FailingEngine, World, fail_a_page

pytestmark = pytest.mark.valkey


@pytest.fixture
def url(world: World) -> Iterator[str]:
    with on_a_port(create_app(world.settings, world.service)) as made:
        yield made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_dead_list_tells_which_pages_failed_and_why(world: World, url: str) -> None:
    request_id = fail_a_page(world)
    found = run("dead", "list", "--server", url)
    assert found.exit_code == 0
    (line,) = [line for line in found.output.splitlines() if request_id in line]
    assert "acme" in line
    assert "page 2: engine_failed x3" in line


def test_dead_retry_reads_the_failed_pages_again(world: World, url: str) -> None:
    request_id = fail_a_page(world)
    world.engine = engine = FailingEngine({})
    assert run("dead", "retry", request_id, "--server", url).exit_code == 0
    world.settle()
    assert engine.calls == 1
    assert world.jobs.get("acme", request_id).pages.failed == 0
    assert request_id not in run("dead", "list", "--server", url).output


def test_dead_drop_leaves_the_job_as_it_is(world: World, url: str) -> None:
    request_id = fail_a_page(world)
    assert run("dead", "drop", request_id, "--server", url).exit_code == 0
    assert request_id not in run("dead", "list", "--server", url).output
    job = world.jobs.get("acme", request_id)
    assert (job.status, job.pages.failed) == (JobStatus.COMPLETED, 1)


def test_an_unknown_dead_letter_and_a_missing_server_are_told_in_a_sentence(
    world: World, url: str
) -> None:
    request_id = fail_a_page(world)
    assert run("dead", "drop", request_id, "--server", url).exit_code == 0
    again = run("dead", "drop", request_id, "--server", url)
    assert again.exit_code != 0
    assert "no dead letter" in str(again.exception)
    nobody = run("dead", "list", "--server", "http://127.0.0.1:1")
    assert nobody.exit_code != 0
    assert "No server answers" in str(nobody.exception)


def test_fsck_tells_what_it_found_and_fails_until_it_is_mended(
    valkey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = (tmp_path / "objects").as_uri()
    monkeypatch.setenv("CASOLA_REDIS_URL", valkey)
    monkeypatch.setenv("CASOLA_OBJECT_STORE", store)
    monkeypatch.setattr(fsck, "PATIENCE_SECONDS", 0.0)
    service = Service.open(Settings(redis_url=valkey, object_store=store))
    service.store.put("tenants/acme/jobs/req_01M86XWE6PW1GW5RCFPKBWJ0HE/source", b"left behind")
    found = run("fsck")
    assert found.exit_code == 1
    assert "orphan" in found.output
    mended = run("fsck", "--repair")
    assert mended.exit_code == 0
    assert "repaired" in mended.output
    assert run("fsck").exit_code == 0
    service.records.close_connections()
