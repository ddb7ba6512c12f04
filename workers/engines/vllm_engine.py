"""vLLM in the worker's own process: one `AsyncLLM`, whose engine is a child."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from casola_ocr.errors import ConfigurationError, EngineDied, EngineFailed, Unprocessable
from casola_ocr.prompts import raw_prompt
from casola_ocr.settings import Settings
from casola_ocr.text.generated import Generated
from workers.engines import vllm_versions
from workers.engines.deepseek_model import Vocabulary, find_model
from workers.engines.transport import (
    BACK_OFF_SECONDS,
    LONGEST_PATTERN,
    PATTERN_COUNT,
    PRIORITIES,
    Request,
    Transport,
    decoded,
)
from workers.engines.vllm_plugin import PARENT

log = structlog.get_logger(__name__)

#: Tokens of one step of the engine. It is also what the vision encoder may take at once; vLLM's own
#: default for servers is two pages.
BATCHED_TOKENS = 16_384
#: How long the engine may take to end.
SHUTDOWN_SECONDS = 5


class InProcess(Transport):
    """vLLM in this process. Made once, in the worker's main thread, before anything is read."""

    def __init__(self, engine: str, model: str, settings: Settings):
        """Load the model.

        Raises:
            ConfigurationError: vLLM or the model is not there, or does not suit.
        """
        found = vllm_versions.installed()
        vllm_versions.check_version(found.version)
        folder = find_model(engine, model)
        os.environ.update(vllm_environment(found))
        self.version = f"{Path(model).name}, vllm {found.version}"
        super().__init__()
        self._engine: Any = None
        try:
            self._engine = self._run(_start(folder, settings))
            self._vocabulary = Vocabulary(self._run(_tokenizer(self._engine)))
        except ConfigurationError:
            raise
        except Exception as error:
            log.exception("vLLM did not start", action="vllm_failed")
            raise ConfigurationError(
                f"vLLM could not start the model {model}; the log says why."
            ) from error
        self._errors = vllm_versions.errors()
        self._max_tokens = settings.vllm_max_tokens or None

    def alive(self) -> bool:
        # There is none yet while it is being started.
        return self._engine is None or not self._engine.errored

    def close(self) -> None:
        self._engine.shutdown(timeout=SHUTDOWN_SECONDS)

    async def _generate(self, request: Request) -> Generated:
        while True:
            try:
                return self._generated(await self._output(request))
            except self._errors.dead as error:
                raise EngineDied("The model's process has ended.") from error
            except self._errors.failed as error:
                raise EngineFailed("The model failed on this page.") from error
            except self._errors.busy:
                await asyncio.sleep(BACK_OFF_SECONDS)
            except self._errors.refused as error:
                raise Unprocessable("The model cannot take this page.") from error

    async def _output(self, request: Request) -> Any:
        name = uuid.uuid4().hex
        prompt = {
            "prompt_token_ids": self._vocabulary.begun(raw_prompt(request.wishes)),
            "multi_modal_data": {"image": request.image},
            # Without a name of its own a page can be given what the encoder saw of another.
            "multi_modal_uuids": {"image": [name]},
        }
        outputs = self._engine.generate(
            prompt,
            sampling_parameters(request, self._vocabulary.repeatable, self._max_tokens),
            request_id=name,
            priority=PRIORITIES[request.wishes.lane],
        )
        try:
            return [output async for output in outputs][-1].outputs[0]
        except asyncio.CancelledError:
            await self._engine.abort(name)
            raise

    def _generated(self, output: Any) -> Generated:
        if output.finish_reason not in ("stop", "length", "repetition"):
            raise EngineFailed(f"The model ended with '{output.finish_reason}'.")
        numbers = list(output.token_ids)
        while numbers and numbers[-1] == self._vocabulary.end:
            numbers.pop()
        text, starts = decoded(map(self._vocabulary.bytes_of, numbers))
        told = output.logprobs
        return Generated(
            text=text,
            starts=starts,
            logprobs=list(told.logprobs[: len(numbers)]) if told else None,
            ranks=list(told.ranks[: len(numbers)]) if told else None,
            finish=output.finish_reason,
        )


def sampling_parameters(request: Request, repeatable: Sequence[int], max_tokens: int | None) -> Any:
    """Return what vLLM is told about how a page is read; this imports vLLM.

    `repeatable` are the tokens that the n-gram ban leaves alone.
    """
    from vllm.sampling_params import (
        RepetitionDetectionParams,
        RequestOutputKind,
        SamplingParams,
    )

    return SamplingParams(
        temperature=request.temperature,
        max_tokens=max_tokens,
        logprobs=0,
        flat_logprobs=True,
        detokenize=False,
        skip_special_tokens=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
        repetition_detection=RepetitionDetectionParams(
            max_pattern_size=LONGEST_PATTERN, min_pattern_size=1, min_count=PATTERN_COUNT
        ),
        extra_args={
            "ngram_size": request.ngram,
            "window_size": request.window,
            "whitelist_token_ids": list(repeatable),
        },
    )


def engine_arguments(settings: Settings) -> dict[str, Any]:
    """Return what vLLM's engine is made with, beside the model; its environment is set by now."""
    return {
        "dtype": settings.vllm_dtype,
        "max_model_len": settings.vllm_max_model_tokens,
        "gpu_memory_utilization": settings.vllm_gpu_memory_share,
        "max_num_seqs": settings.slots,
        "max_num_batched_tokens": max(BATCHED_TOKENS, settings.vllm_max_model_tokens),
        # No two pages begin alike, and each comes once.
        "enable_prefix_caching": False,
        "mm_processor_cache_gb": 0,
        "limit_mm_per_prompt": {"image": 1},
        "scheduling_policy": "priority",
        "logits_processors": [vllm_versions.logits_processor_path(os.environ)],
        **json.loads(settings.vllm_args),
    }


def vllm_environment(found: vllm_versions.Installed) -> Mapping[str, str]:
    """Return what vLLM reads when it is imported."""
    return {
        vllm_versions.RUNNER: vllm_versions.model_runner(found, os.environ),
        PARENT: str(os.getpid()),
        # Documents are private: nothing is told to anybody, nothing is looked up.
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        # The worker has threads by now.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "WARNING"),
    }


async def _start(folder: str, settings: Settings) -> Any:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    arguments = AsyncEngineArgs(model=folder, **engine_arguments(settings))
    return AsyncLLM.from_engine_args(arguments)


async def _tokenizer(engine: Any) -> Any:
    found = engine.get_tokenizer()
    return await found if asyncio.iscoroutine(found) else found
