"""Both models at their true sizes, with noise for weights, in the worker's own transport."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pytest

from benchmarks.gpu_sides import PAGE_SIZE, draw
from casola_ocr.errors import EngineFailed
from casola_ocr.languages import AUTO
from casola_ocr.model import Wishes
from casola_ocr.settings import Settings
from tests.vllm.checkpoints import write_checkpoint
from tests.vllm.live import within
from workers.engines.deepseek import DeepSeekEngine
from workers.engines.transport import Request
from workers.engines.vllm_engine import InProcess

#: Seconds of work for a GPU with one page: long enough to be stopped in the middle.
TOKENS = 3000
#: How long a page may take from the queue into the batch.
INTO_BATCH_SECONDS = 0.5
PAGE = draw(PAGE_SIZE, seed=1)
REQUEST = Request(image=PAGE, wishes=Wishes(mode="text"), temperature=0.0, ngram=30, window=90)


@dataclass(frozen=True)
class Loaded:
    engine: str
    transport: InProcess


@pytest.fixture(scope="module", params=["v1", "v2"])
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loaded]:
    """One version after the other, each with less than half of the GPU in case the last lingers."""
    version: Literal["v1", "v2"] = request.param
    name = {"v1": "deepseek-ocr", "v2": "deepseek-ocr-v2"}[version]
    folder = write_checkpoint(tmp_path_factory.mktemp("models") / name, version, "true")
    settings = Settings(
        slots=8,
        vllm_args='{"load_format": "dummy"}',
        vllm_gpu_memory_share=0.45,
        vllm_max_tokens=TOKENS,
    )
    transport = InProcess(name, str(folder), settings)
    yield Loaded(name, transport)
    transport.close()


def test_a_page_comes_back_with_the_confidence_of_each_token(loaded: Loaded) -> None:
    generated = loaded.transport.generate(REQUEST, None)
    # Noise may happen to end a text.
    assert len(generated.starts) == TOKENS or generated.finish == "stop"
    assert generated.logprobs is not None and generated.ranks is not None
    assert len(generated.logprobs) == len(generated.ranks) == len(generated.starts) > 0
    assert all(math.isfinite(value) and value <= 0 for value in generated.logprobs)
    assert min(generated.ranks) >= 1


def test_the_engine_makes_a_page_of_it(loaded: Loaded) -> None:
    engine = DeepSeekEngine(loaded.engine, loaded.transport, page_seconds=0, noise=True)
    page = engine.read(PAGE, page=1, attempt=1, language=AUTO)
    assert page.text
    assert page.engine == loaded.engine
    (reading,) = page.tries
    assert reading.tokens


def test_a_page_that_nobody_wants_is_let_go_of_within_a_second(loaded: Loaded) -> None:
    stop = threading.Event()
    unfinished = loaded.transport._engine.output_processor.has_unfinished_requests
    stopped: list[float] = []

    def read() -> None:
        with pytest.raises(EngineFailed):
            loaded.transport.generate(REQUEST, stop)
        stopped.append(time.monotonic())

    reader = threading.Thread(target=read)
    reader.start()
    assert within(10, unfinished)
    # From the queue into the batch: what waits is let go of more easily than what is computed.
    time.sleep(INTO_BATCH_SECONDS)
    assert unfinished()
    begun = time.monotonic()
    stop.set()
    reader.join(timeout=10)
    assert within(begun + 1 - time.monotonic(), lambda: not unfinished())
    assert stopped and stopped[0] < begun + 1
