"""What both of our processors ban is what vLLM's own and the slow reference ban."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vllm.model_executor.models.deepseek_ocr import NGramPerReqLogitsProcessor
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate

from tests.ngram_runner import Row, SecondRunner, bans
from workers.engines.ngram import Ban
from workers.engines.ngram_v1 import NGramBan as BanV1
from workers.engines.ngram_v2 import NGramBan as BanV2

TOKENS = 4
MODEL_LENGTH = 80
CPU = torch.device("cpu")


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


def first_runner(kind: Any, batch: list[Row]) -> list[set[int]]:
    processor = kind(SimpleNamespace(), CPU, False)
    added = [(at, row.parameters, row.prompt, row.output) for at, row in enumerate(batch)]
    processor.update_state(BatchUpdate(batch_size=len(batch), removed=[], added=added, moved=[]))
    return bans(processor.apply(torch.zeros(len(batch), TOKENS)))


def second_runner(slots: int) -> SecondRunner:
    return SecondRunner(slots, vocabulary=TOKENS, model_length=MODEL_LENGTH, device=CPU)


@given(rows)
def test_the_first_runners_processor_bans_what_the_reference_bans(batch: list[Row]) -> None:
    assert first_runner(BanV1, batch) == [row.expected for row in batch]


@given(rows)
def test_vllms_own_processor_bans_what_the_reference_bans(batch: list[Row]) -> None:
    assert first_runner(NGramPerReqLogitsProcessor, batch) == [row.expected for row in batch]


@given(st.lists(rows, min_size=1, max_size=3))
def test_the_second_runners_processor_bans_what_the_reference_bans(steps: list[list[Row]]) -> None:
    # One processor for all steps: a slot keeps nothing of who had it before.
    runner = second_runner(5)
    for batch in steps:
        assert runner.step(batch) == [row.expected for row in batch]


def test_a_prompt_that_is_still_being_read_bans_nothing() -> None:
    runner = second_runner(1)
    runner.step([Row(prompt=[1] * 20, output=[], ban=Ban(size=2))])
    assert runner.bans_at([0], [7]) == [set()]


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
