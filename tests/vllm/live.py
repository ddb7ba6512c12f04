"""A real vLLM engine on the CPU, called from tests that know nothing of event loops."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from PIL import Image

from workers.engines.vllm_engine import InProcess

#: For every process that loads vLLM, set before it does. The runner's choice is made by the worker
#: itself; here it is on the CPU, where only the first one works.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_USE_V2_MODEL_RUNNER": "0",
}

#: Beyond what the product sets: noise for weights, and sizes for two cores.
CPU_ARGUMENTS: dict[str, Any] = {
    "load_format": "dummy",
    "dtype": "float32",
    "enforce_eager": True,
    "skip_mm_profiling": True,
    "max_model_len": 2048,
    "max_num_seqs": 4,
    "max_num_batched_tokens": 2048,
}

#: A fiftieth of the second that letting go of a page may take.
LOOK_SECONDS = 0.02

PROMPT = "<image>\n<|grounding|>Convert the document to markdown."


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether it comes true in time. Asked again and again: vLLM tells nobody what it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(LOOK_SECONDS)
    return False


class LiveEngine:
    """The `AsyncLLM` of a transport; its methods may be called from any thread."""

    def __init__(self, transport: InProcess):
        self._numbers = itertools.count()
        self._loop = transport._loop
        self.llm = transport._engine

    def start(
        self, prompt: str, image: Image.Image | None = None, **sampling: Any
    ) -> tuple[str, Future[Any]]:
        """Return the request's name and its output to be; without an image it costs little."""
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        name = f"test-{next(self._numbers)}"
        parameters = SamplingParams(
            output_kind=RequestOutputKind.FINAL_ONLY,
            **({"temperature": 0.0, "skip_special_tokens": False} | sampling),
        )
        asked: dict[str, Any] = {"prompt": prompt}
        if image is not None:
            asked["multi_modal_data"] = {"image": image}
            asked["multi_modal_uuids"] = {"image": [name]}

        async def run() -> Any:
            # The last of them, and with FINAL_ONLY the only one.
            outputs = self.llm.generate(asked, parameters, request_id=name)
            return [output async for output in outputs][-1]

        return name, self._submit(run())

    def generate(self, prompt: str, image: Image.Image | None = None, **sampling: Any) -> Any:
        """Return the one completion; raise what vLLM raises."""
        _, output = self.start(prompt, image, **sampling)
        return output.result(timeout=300).outputs[0]

    def token(self, text: str) -> int:
        (number,) = self.llm.get_tokenizer().encode(text, add_special_tokens=False)
        return int(number)

    def abort(self, name: str) -> None:
        self._submit(self.llm.abort(name)).result(timeout=30)

    def _submit(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
