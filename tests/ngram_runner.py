"""The part of vLLM's Model Runner V2 that our n-gram ban sees, and batches for it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from vllm.sampling_params import SamplingParams

from tests.ngram_reference import banned_by_reference
from workers.engines.ngram import Ban
from workers.engines.ngram_v2 import NGramBan


@dataclass(frozen=True)
class Row:
    """One request of a step."""

    prompt: list[int]
    output: list[int]
    ban: Ban | None

    @property
    def parameters(self) -> SamplingParams:
        return SamplingParams(extra_args=self.ban.extra_args() if self.ban else None)

    @property
    def expected(self) -> set[int]:
        return banned_by_reference(self.output, self.ban) if self.ban else set()


def bans(logits: torch.Tensor) -> list[set[int]]:
    assert not torch.isnan(logits).any()
    assert not torch.isposinf(logits).any()
    return [set(torch.isneginf(row).nonzero().flatten().tolist()) for row in logits]


class SecondRunner:
    """Faked, since a test has no model: the buffers (`gpu` is all that is read of them) and the
    context, with nothing but the fields that are read. The slots' order is not the rows'.
    """

    def __init__(self, slots: int, *, vocabulary: int, model_length: int, device: torch.device):
        self.vocabulary = vocabulary
        self.device = device
        self.all_tokens = torch.full((slots, model_length), 2, dtype=torch.int32, device=device)
        self.prompt_lengths = torch.zeros(slots, dtype=torch.int32, device=device)
        states: Any = SimpleNamespace(
            device=device,
            max_num_reqs=slots,
            vocab_size=vocabulary,
            all_token_ids=SimpleNamespace(gpu=self.all_tokens),
            prompt_len=SimpleNamespace(gpu=self.prompt_lengths),
        )
        config: Any = SimpleNamespace(speculative_config=None)
        self.processor = NGramBan(config, states)

    def step(self, batch: list[Row]) -> list[set[int]]:
        slots = list(reversed(range(len(batch))))
        for slot, row in zip(slots, batch, strict=True):
            written = row.prompt + row.output
            self.all_tokens[slot, : len(written)] = torch.tensor(written, dtype=torch.int32)
            self.prompt_lengths[slot] = len(row.prompt)
            self.processor.add_request(slot, row.parameters)
        return self.bans_at(slots, [len(row.prompt) + len(row.output) - 1 for row in batch])

    def bans_at(self, slots: list[int], positions: list[int]) -> list[set[int]]:
        """What is banned after these positions of these slots."""
        context: Any = SimpleNamespace(
            expanded_idx_mapping=torch.tensor(slots, dtype=torch.int32, device=self.device),
            idx_mapping_np=np.array(slots, dtype=np.int32),
            pos=torch.tensor(positions, device=self.device),
        )
        logits = torch.zeros(len(slots), self.vocabulary, device=self.device)
        return bans(self.processor.apply(logits, context))
