"""The n-gram ban for vLLM's first model runner: one request at a time, on the CPU."""

from __future__ import annotations

import torch
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

from workers.engines.ngram import Ban, asked, banned


class NGramBan(AdapterLogitsProcessor):  # type: ignore[misc] # no vLLM where types are checked
    """Bans in each request what it asks for. vLLM makes it, in the process of the engine."""

    @classmethod
    def validate_params(cls, params: SamplingParams) -> None:
        asked(params.extra_args)

    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, params: SamplingParams) -> _Request | None:
        ban = asked(params.extra_args)
        return _Request(ban) if ban else None


class _Request:
    def __init__(self, ban: Ban):
        self._ban = ban

    def __call__(self, output: list[int], logits: torch.Tensor) -> torch.Tensor:
        # Nearly always nothing is banned, and then the GPU hears of nothing.
        if tokens := banned(output, self._ban):
            logits[list(tokens)] = -torch.inf
        return logits
