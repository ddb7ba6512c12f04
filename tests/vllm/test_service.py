"""The whole service on the real vLLM with a model of noise: everything but the reading."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.pages import as_bytes, draw_page
from tests.running import RunningService, free_port
from tests.vllm.live import CPU_ARGUMENTS, ENVIRONMENT, within

MODEL = "deepseek-ocr-v2"
TOKENS = 8
#: Loading takes twenty seconds on two idle cores, the golden page ten.
START_SECONDS = 240
#: Time of a CPU after which the model's process certainly has the page: a try takes several times
#: as much, and there are five.
INTO_MODEL_SECONDS = 0.5
#: What `compose.yaml` gives a worker.
GRACE_SECONDS = 30
#: How long a worker that is told to stop reads on: less than a page takes, and more.
SHORT_DRAIN, LONG_DRAIN = "1", "60"
PAGE = as_bytes(draw_page(["A small page"], width=320), "PNG")


@pytest.fixture(scope="module")
def service(
    checkpoint_v2: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    running = RunningService(
        data_dir=tmp_path_factory.mktemp("vllm") / "data",
        port=free_port(),
        start_seconds=START_SECONDS,
        environment={
            **ENVIRONMENT,
            "CASOLA_ENGINES": f"{MODEL},tesseract",
            "CASOLA_DEEPSEEK_OCR_V2_MODEL": str(checkpoint_v2),
            "CASOLA_SLOTS": "4",
            "CASOLA_VLLM_ARGS": json.dumps(CPU_ARGUMENTS),
            "CASOLA_VLLM_MAX_TOKENS": str(TOKENS),
            "CASOLA_DRAIN_SECONDS": SHORT_DRAIN,
            # No other try is begun when half of it is over.
            "CASOLA_PAGE_TIMEOUT_SECONDS": "90",
        },
    )
    running.data_dir.mkdir()
    running.start()
    wait_until_live(running)
    yield running
    running.stop()


def wait_until_live(service: RunningService) -> None:
    """Tesseract makes the service ready before the model is loaded."""

    def live() -> bool:
        engines = httpx.get(f"{service.url}/api/v1/engines", timeout=10).json()["data"]
        return any(engine["live"] for engine in engines if engine["name"] == MODEL)

    assert within(START_SECONDS, live), f"the model never came:\n{service.log()}"


def submit(service: RunningService, source: bytes = PAGE, **options: str) -> str:
    data = {"model": MODEL, **options}
    answer = httpx.post(f"{service.url}/api/v1/jobs", files={"file": source}, data=data, timeout=30)
    assert answer.status_code == 202, answer.text
    request_id: str = answer.json()["request_id"]
    return request_id


def page_of(service: RunningService, request_id: str) -> dict[str, Any]:
    job = service.finished(request_id, seconds=300)
    assert job["status"] == "completed", job
    answer = httpx.get(f"{service.url}/api/v1/jobs/{request_id}/result", timeout=10)
    (page,) = answer.json()["page_results"]
    return dict(page)


def begin(service: RunningService) -> str:
    """Submit a page; return once the model has it, which only its process tells."""
    (model,) = service.processes("VLLM::Worker")

    def worked() -> float:
        spent = model.cpu_times()
        return float(spent.user + spent.system)

    before = worked()
    request_id = submit(service)
    assert within(60, lambda: worked() > before + INTO_MODEL_SECONDS), service.log()
    assert status(service, request_id) == "processing"
    return request_id


def status(service: RunningService, request_id: str) -> str:
    job = httpx.get(f"{service.url}/api/v1/jobs/{request_id}", timeout=10).json()
    return str(job["status"])


def use_drain(service: RunningService, seconds: str) -> None:
    """Start the service again, unless its workers read on that long already."""
    if service.environment["CASOLA_DRAIN_SECONDS"] != seconds:
        service.stop()
        service.environment["CASOLA_DRAIN_SECONDS"] = seconds
        service.start()
        wait_until_live(service)


def engine_processes(service: RunningService) -> list[psutil.Process]:
    return service.processes("VLLM::")


def worker_of(engine: list[psutil.Process]) -> psutil.Process:
    """The worker whose model these processes run."""
    (worker,) = {process.parent().parent() for process in engine if process.parent() in engine}
    return worker


def stop_worker(service: RunningService, seconds: float) -> None:
    """Tell the worker to stop, and see it and its model's processes end in time."""
    before = engine_processes(service)
    worker = worker_of(before)
    worker.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs([worker, *before], timeout=seconds)
    assert not alive, f"did not stop in time:\n{service.log()}"


def test_a_page_becomes_a_result_with_tries_confidence_and_flags(service: RunningService) -> None:
    page = page_of(service, submit(service))
    assert page["engine"] == MODEL
    assert "vllm" in page["engine_version"]
    assert {"truncated", "uncalibrated"} <= set(page["flags"])
    assert 0 <= page["confidence"] <= 0.5
    assert page["tries"][0]["how"] == "n-gram 30/90"
    assert page["tries"][0]["tokens"] == TOKENS
    assert len(page["tries"]) > 1


def test_a_blank_page_does_not_reach_the_model(service: RunningService) -> None:
    from PIL import Image

    begun = time.monotonic()
    page = page_of(
        service, submit(service, as_bytes(Image.new("RGB", (900, 1200), "white"), "PNG"))
    )
    assert page["flags"] == ["blank"]
    assert page["text"] == "" and page["tries"] == []
    assert time.monotonic() - begun < 5


def test_a_page_that_cannot_be_trusted_is_read_on_the_cpu_where_that_is_allowed(
    service: RunningService,
) -> None:
    page = page_of(service, submit(service, fallback="true"))
    assert "fallback" in page["flags"]
    assert page["tries"][-1]["how"] == "fallback"
    assert page["text"] == "A small page"


def test_a_cancelled_page_is_let_go_of(service: RunningService) -> None:
    request_id = begin(service)
    answer = httpx.post(f"{service.url}/api/v1/jobs/{request_id}/cancel", timeout=10)
    assert answer.status_code == 200
    assert service.finished(request_id, seconds=5)["status"] == "cancelled"
    assert page_of(service, submit(service))["tries"]


def test_a_worker_that_is_told_to_stop_hands_its_page_back(service: RunningService) -> None:
    use_drain(service, SHORT_DRAIN)
    request_id = begin(service)
    stop_worker(service, GRACE_SECONDS)
    assert status(service, request_id) != "completed"
    # Other workers read it, as when it was the whole machine that was told to stop.
    use_drain(service, LONG_DRAIN)
    page = page_of(service, request_id)
    assert page["attempts"] == 1, "what was handed back is no failed attempt"
    assert page["tries"]


def test_a_page_survives_the_death_of_the_models_process(service: RunningService) -> None:
    request_id = begin(service)
    before = engine_processes(service)
    assert before
    next(p for p in before if "EngineCore" in " ".join(p.cmdline())).kill()
    page = page_of(service, request_id)
    assert page["attempts"] == 2
    assert not any(process.is_running() for process in before)


def test_a_killed_worker_takes_the_models_process_with_it(service: RunningService) -> None:
    request_id = begin(service)
    before = engine_processes(service)
    worker = worker_of(before)
    worker.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(before, timeout=5)
    assert not alive
    assert page_of(service, request_id)["tries"]


def test_a_worker_that_is_told_to_stop_reads_its_page_to_the_end_if_there_is_time(
    service: RunningService,
) -> None:
    use_drain(service, LONG_DRAIN)
    request_id = begin(service)
    stop_worker(service, float(LONG_DRAIN) + GRACE_SECONDS)
    # The next worker takes longer than this to load its model.
    assert service.finished(request_id, seconds=8)["status"] == "completed"
    page = page_of(service, request_id)
    assert page["attempts"] == 1
    assert page["tries"]
