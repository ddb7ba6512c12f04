"""A real vLLM engine on the CPU, called from tests that know nothing of event loops."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from PIL import Image

from workers.engines import vllm_versions

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
    """`AsyncLLM` on an event loop of its own; its methods may be called from any thread."""

    def __init__(self, checkpoint: Path):
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        arguments = AsyncEngineArgs(
            model=str(checkpoint),
            enable_prefix_caching=False,
            mm_processor_cache_gb=0,
            limit_mm_per_prompt={"image": 1},
            scheduling_policy="priority",
            logits_processors=[vllm_versions.logits_processor_path(ENVIRONMENT)],
            disable_log_stats=False,
            **CPU_ARGUMENTS,
        )

        async def make() -> AsyncLLM:
            return AsyncLLM.from_engine_args(arguments)

        self.llm = self._submit(make()).result()

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

    def close(self) -> None:
        async def end() -> None:
            self.llm.shutdown()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._submit(end()).result(timeout=60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def _submit(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
