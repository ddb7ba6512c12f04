"""What both of our processors ban is what vLLM's own and the slow reference ban."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vllm.model_executor.models.deepseek_ocr import NGramPerReqLogitsProcessor
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate

from tests.ngram_reference import banned_by_reference
from workers.engines.ngram import Ban
from workers.engines.ngram_v1 import NGramBan as BanV1
from workers.engines.ngram_v2 import NGramBan as BanV2

TOKENS = 4
MODEL_LENGTH = 80
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Row:
    prompt: list[int]
    output: list[int]
    ban: Ban | None

    @property
    def parameters(self) -> SamplingParams:
        return SamplingParams(extra_args=self.ban.extra_args() if self.ban else None)

    @property
    def expected(self) -> set[int]:
        return banned_by_reference(self.output, self.ban) if self.ban else set()


tokens = st.integers(0, TOKENS - 1)
rows = st.lists(
    st.builds(
        Row,
        prompt=st.lists(tokens, min_size=1, max_size=MODEL_LENGTH - 60),
        output=st.lists(tokens, max_size=60),
        ban=st.none()
        | st.builds(
            Ban,
            size=st.integers(1, 8),
            window=st.integers(1, 70),
            allowed=st.frozensets(tokens, max_size=3),
        ),
    ),
    min_size=1,
    max_size=5,
)


def bans(logits: torch.Tensor) -> list[set[int]]:
    assert not torch.isnan(logits).any()
    assert not torch.isposinf(logits).any()
    return [set(torch.isneginf(row).nonzero().flatten().tolist()) for row in logits]


def first_runner(kind: Any, batch: list[Row]) -> list[set[int]]:
    processor = kind(SimpleNamespace(), CPU, False)
    added = [(at, row.parameters, row.prompt, row.output) for at, row in enumerate(batch)]
    processor.update_state(BatchUpdate(batch_size=len(batch), removed=[], added=added, moved=[]))
    return bans(processor.apply(torch.zeros(len(batch), TOKENS)))


class SecondRunner:
    """The part of Model Runner V2 that its processors see, on the CPU.

    Faked, since vLLM's own needs a GPU: the buffers (`gpu` is all that is read of them) and the
    context, with nothing but the fields that are read. The slots' order is not the rows'.
    """

    def __init__(self, slots: int):
        self.all_tokens = torch.full((slots, MODEL_LENGTH), 2, dtype=torch.int32)
        self.prompt_lengths = torch.zeros(slots, dtype=torch.int32)
        states: Any = SimpleNamespace(
            device=CPU,
            max_num_reqs=slots,
            vocab_size=TOKENS,
            all_token_ids=SimpleNamespace(gpu=self.all_tokens),
            prompt_len=SimpleNamespace(gpu=self.prompt_lengths),
        )
        config: Any = SimpleNamespace(speculative_config=None)
        self.processor = BanV2(config, states)

    def step(self, batch: list[Row]) -> list[set[int]]:
        slots = list(reversed(range(len(batch))))
        for slot, row in zip(slots, batch, strict=True):
            written = row.prompt + row.output
            self.all_tokens[slot, : len(written)] = torch.tensor(written)
            self.prompt_lengths[slot] = len(row.prompt)
            self.processor.add_request(slot, row.parameters)
        context: Any = SimpleNamespace(
            expanded_idx_mapping=torch.tensor(slots, dtype=torch.int32),
            idx_mapping_np=np.array(slots, dtype=np.int32),
            pos=torch.tensor([len(row.prompt) + len(row.output) - 1 for row in batch]),
        )
        return bans(self.processor.apply(torch.zeros(len(batch), TOKENS), context))


@given(rows)
def test_the_first_runners_processor_bans_what_the_reference_bans(batch: list[Row]) -> None:
    assert first_runner(BanV1, batch) == [row.expected for row in batch]


@given(rows)
def test_vllms_own_processor_bans_what_the_reference_bans(batch: list[Row]) -> None:
    assert first_runner(NGramPerReqLogitsProcessor, batch) == [row.expected for row in batch]


@given(st.lists(rows, min_size=1, max_size=3))
def test_the_second_runners_processor_bans_what_the_reference_bans(steps: list[list[Row]]) -> None:
    # One processor for all steps: a slot keeps nothing of who had it before.
    runner = SecondRunner(slots=5)
    for batch in steps:
        assert runner.step(batch) == [row.expected for row in batch]


def test_a_prompt_that_is_still_being_read_bans_nothing() -> None:
    runner = SecondRunner(slots=1)
    runner.step([Row(prompt=[1] * 20, output=[], ban=Ban(size=2))])
    context: Any = SimpleNamespace(
        expanded_idx_mapping=torch.tensor([0]),
        idx_mapping_np=np.array([0]),
        pos=torch.tensor([7]),
    )
    assert bans(runner.processor.apply(torch.zeros(1, TOKENS), context)) == [set()]


def test_a_wrong_wish_is_refused_before_it_reaches_the_engine() -> None:
    wrong = SamplingParams(extra_args={"ngram_size": "30"})
    for processor in BanV1, BanV2, NGramPerReqLogitsProcessor:
        with pytest.raises(ValueError, match="ngram_size"):
            processor.validate_params(wrong)


def test_drafted_tokens_are_refused() -> None:
    states: Any = SimpleNamespace()
    config: Any = SimpleNamespace(speculative_config=object())
    with pytest.raises(ValueError, match="speculative"):
        BanV2(config, states)
