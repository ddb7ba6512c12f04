"""Who reads pages on a GPU: the worker's engine, bare vLLM, and the whole service.

Each is loaded, warmed and measured by a function that has a process to itself: when that ends, the
GPU's memory is free for the next, which then has the same share of it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from benchmarks.common import errors
from benchmarks.serving import casola
from casola_ocr.documents.ink import ink_of, is_flat
from casola_ocr.languages import AUTO
from casola_ocr.model import Wishes
from casola_ocr.prompts import raw_prompt
from casola_ocr.settings import Settings
from tests.pages import as_bytes, draw_page

#: A4 at 150 dpi.
PAGE_SIZE = (1240, 1754)
#: As the engine's first reading of a page.
WISHES = Wishes()
#: Pages that are really different; the others are copies of them. Nothing caches pictures.
DIFFERENT_PAGES = 64
#: How often the GPU is asked whether it is busy.
_LOOK_MILLISECONDS = 200
#: vLLM's own histograms over requests: name → what it says.
_STAGES = {
    "vllm:request_queue_time_seconds": "queued",
    "vllm:request_prefill_time_seconds": "picture and prompt",
    "vllm:request_decode_time_seconds": "decode",
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a side is to read, and how it is made; the same for all sides."""

    engine: str
    model: str
    pages: int
    page_size: tuple[int, int]
    in_flight: int
    output_tokens: int
    #: More arguments of vLLM's engine, the tokens of a step among them.
    arguments: dict[str, Any]
    dtype: str
    memory_share: float
    model_tokens: int

    def settings(self) -> Settings:
        return Settings(
            slots=self.in_flight,
            vllm_args=json.dumps(self.arguments),
            vllm_dtype=self.dtype,
            vllm_gpu_memory_share=self.memory_share,
            vllm_max_model_tokens=self.model_tokens,
            vllm_max_tokens=self.output_tokens,
        )

    @property
    def noise(self) -> bool:
        return self.arguments.get("load_format") == "dummy"

    def images(self) -> list[Image.Image]:
        drawn = [draw(self.page_size, seed) for seed in range(min(self.pages, DIFFERENT_PAGES))]
        return [drawn[at % len(drawn)] for at in range(self.pages)]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a side did; seconds are of the wall unless said."""

    pages: int
    #: Of the texts; the pictures' not counted.
    tokens: int
    seconds: float
    #: Part of the samples' time in which the GPU worked; None without `nvidia-smi`.
    gpu_busy: float | None
    #: Mean seconds of a page by stage.
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def pages_per_second(self) -> float:
        return self.pages / self.seconds

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


def draw(size: tuple[int, int], seed: int) -> Image.Image:
    """A page full of words that mean nothing."""
    words = random.Random(seed)
    font = 20
    line_count = (size[1] - 4 * font) // (font * 8 // 5)
    lines = [
        " ".join(
            "".join(words.choices("abcdefghijklmnopqrstuvwxyz", k=words.randint(2, 9)))
            for _ in range(size[0] // 85)
        )
        for _ in range(line_count)
    ]
    page = Image.new("RGB", size, "white")
    page.paste(draw_page(lines, width=size[0], font_size=font))
    return page


def worker_engine(plan: Plan) -> Measured:
    """The engine as the worker calls it: from as many threads as there may be pages in flight."""
    from workers.engines.deepseek import DeepSeekEngine
    from workers.engines.vllm_engine import InProcess

    # No time for a page: it is read once, whatever is thought of its text.
    transport = InProcess(plan.engine, plan.model, plan.settings())
    engine = DeepSeekEngine(plan.engine, transport, page_seconds=0, noise=plan.noise)

    def read(image: Image.Image) -> tuple[int, float]:
        begun = time.perf_counter()
        result = engine.read(image, page=1, attempt=1, language=AUTO, wishes=WISHES)
        (reading,) = result.tries
        return reading.tokens or 0, time.perf_counter() - begun

    images = plan.images()
    with closing(engine), ThreadPoolExecutor(plan.in_flight) as threads:
        list(threads.map(read, _warm(images, plan)))
        before = _histograms()
        with _gpu_busy() as busy:
            begun = time.perf_counter()
            done = list(threads.map(read, images))
            seconds = time.perf_counter() - begun
        stages = {"in read()": statistics.mean(took for _, took in done)}
        stages |= _stages(before, _histograms())
    return Measured(
        pages=len(done),
        tokens=sum(tokens for tokens, _ in done),
        seconds=seconds,
        gpu_busy=busy(),
        stages=stages,
    )


def bare_vllm(plan: Plan) -> Measured:
    """`vllm.LLM.generate` with everything at once: same prompts, pictures, sampling, arguments."""
    from workers.engines import vllm_versions
    from workers.engines.deepseek import LADDER
    from workers.engines.deepseek_model import Vocabulary, find_model
    from workers.engines.transport import Request
    from workers.engines.vllm_engine import (
        engine_arguments,
        sampling_parameters,
        vllm_environment,
    )

    os.environ.update(vllm_environment(vllm_versions.installed()))
    from vllm import LLM

    settings = plan.settings()
    folder = find_model(plan.engine, plan.model)
    bare = LLM(model=folder, **engine_arguments(settings))
    tokenizer = bare.get_tokenizer()
    images = plan.images()
    rung = asdict(LADDER[0])
    del rung["plain"]
    request = Request(image=images[0], wishes=WISHES, **rung)
    parameters = sampling_parameters(
        request, Vocabulary(tokenizer).repeatable, settings.vllm_max_tokens or None
    )

    def read(some: Sequence[Image.Image]) -> int:
        asked = [
            {
                "prompt": raw_prompt(WISHES),
                "multi_modal_data": {"image": image},
                "multi_modal_uuids": {"image": [f"{time.monotonic_ns()}-{at}"]},
            }
            for at, image in enumerate(some)
        ]
        told = bare.generate(asked, parameters, use_tqdm=False)
        return sum(len(each.outputs[0].token_ids) for each in told)

    try:
        read(_warm(images, plan))
        with _gpu_busy() as busy:
            begun = time.perf_counter()
            tokens = read(images)
            seconds = time.perf_counter() - begun
    finally:
        # Its child is waited for when this process ends.
        bare.llm_engine.engine_core.shutdown()
    return Measured(
        pages=len(images),
        tokens=tokens,
        seconds=seconds,
        gpu_busy=busy(),
        stages=_alone(plan, tokenizer, images),
    )


def service(plan: Plan, *, reading_seconds: float) -> Measured:
    """`casola-ocr serve`, each page a job of its own; as many wait as the worker has in flight.

    A model of noise makes the worker read again what was read in less than half of a page's time.
    That time is therefore one and a half of a reading (`reading_seconds`), and what counts as a
    page is a reading.
    """
    settings = plan.settings()
    model = f"{plan.engine.replace('-', '_')}_model"
    chosen = {
        "engines": plan.engine,
        model: plan.model,
        "slots": str(settings.slots),
        "vllm_args": settings.vllm_args,
        "vllm_dtype": settings.vllm_dtype,
        "vllm_gpu_memory_share": str(settings.vllm_gpu_memory_share),
        "vllm_max_model_tokens": str(settings.vllm_max_model_tokens),
        "vllm_max_tokens": str(settings.vllm_max_tokens),
        "max_waiters": str(2 * plan.in_flight),
    }
    if plan.noise:
        chosen["page_timeout_seconds"] = str(max(1, round(1.5 * reading_seconds)))
    drawn = [as_bytes(image, "PNG") for image in plan.images()[:DIFFERENT_PAGES]]
    pages = [drawn[at % len(drawn)] for at in range(plan.pages)]
    at_once = 2 * plan.in_flight
    with (
        casola(start_seconds=600, **chosen) as server,
        httpx.Client(
            base_url=server.client.base_url,
            limits=httpx.Limits(max_connections=at_once),
            timeout=700,
            trust_env=False,
        ) as client,
        ThreadPoolExecutor(at_once) as crew,
    ):

        def read(page: bytes) -> list[int]:
            answer = client.post(
                "/api/v1/jobs",
                files={"file": page},
                data={"model": plan.engine},
                headers={"Prefer": "wait=600"},
            )
            if answer.status_code != 200 or not answer.json()["page_results"]:
                errors.print(f"{answer.status_code} {answer.text[:200]}", markup=False)
                return []
            (result,) = answer.json()["page_results"]
            return [reading["tokens"] for reading in result["tries"]]

        list(crew.map(read, _warm(pages, plan)))
        with _gpu_busy() as busy:
            begun = time.perf_counter()
            readings = [tokens for done in crew.map(read, pages) for tokens in done]
            seconds = time.perf_counter() - begun
    return Measured(pages=len(readings), tokens=sum(readings), seconds=seconds, gpu_busy=busy())


def _warm(pages: Sequence[Any], plan: Plan) -> Sequence[Any]:
    """Enough pages that every size of batch was seen, and what is compiled at first use is."""
    return pages[: plan.in_flight]


def _alone(plan: Plan, tokenizer: Any, images: Sequence[Image.Image]) -> dict[str, float]:
    """Seconds of one core for a page, with nothing beside it: what the CPU does for the GPU."""
    from vllm.transformers_utils.processors.deepseek_ocr import DeepseekOCRProcessor

    from workers.engines.deepseek import TILE_SIDES, fitted

    tile = TILE_SIDES[plan.engine]
    processor = DeepseekOCRProcessor(
        tokenizer, image_size=tile, strategy="v2" if plan.engine.endswith("v2") else "v1"
    )
    steps: dict[str, Callable[[Image.Image], Any]] = {
        "one core: blank? ink?": lambda image: (is_flat(image), ink_of(image)),
        "one core: scale": lambda image: fitted(image, plan.engine),
        "one core: vLLM's tiles": lambda image: processor(
            prompt=raw_prompt(WISHES), images=[image]
        ),
    }
    return {name: _mean_seconds(step, images[:8]) for name, step in steps.items()}


def _mean_seconds(step: Callable[[Image.Image], Any], images: Sequence[Image.Image]) -> float:
    begun = time.perf_counter()
    for image in images:
        step(image)
    return (time.perf_counter() - begun) / len(images)


def _histograms() -> dict[str, tuple[float, float]]:
    """Sum and count of vLLM's histograms that `_STAGES` names."""
    from prometheus_client import REGISTRY

    found: dict[str, float] = {}
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return {
        name: (found.get(f"{name}_sum", 0.0), found.get(f"{name}_count", 0.0)) for name in _STAGES
    }


def _stages(
    before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]
) -> dict[str, float]:
    return {
        said: (after[name][0] - before[name][0]) / (after[name][1] - before[name][1])
        for name, said in _STAGES.items()
        if after[name][1] > before[name][1]
    }


@contextmanager
def _gpu_busy() -> Iterator[Callable[[], float | None]]:
    """The GPU's busy share while this lasts, to be asked for afterwards."""
    program = shutil.which("nvidia-smi")
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        log = Path(folder) / "busy"
        samples: list[float] = []

        def share() -> float | None:
            return statistics.mean(samples) / 100 if samples else None

        if program is None:
            yield share
            return
        device = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        command = [program, f"--id={device}", "--query-gpu=utilization.gpu"]
        command += ["--format=csv,noheader,nounits", f"--loop-ms={_LOOK_MILLISECONDS}"]
        with log.open("wb") as written:
            process = subprocess.Popen(command, stdout=written)
            try:
                yield share
            finally:
                process.terminate()
                process.wait()
        samples += [float(line) for line in log.read_text().split() if line.isdecimal()]
