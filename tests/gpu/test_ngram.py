"""The n-gram ban of Model Runner V2 on a GPU bans what the slow reference bans."""

from __future__ import annotations

import random

import pytest
import torch

from tests.ngram_runner import Row, SecondRunner
from workers.engines.ngram import Ban

SLOTS = 256
MODEL_LENGTH = 2048
#: As the models have it: each step's logits are as large as in use.
VOCABULARY = 129_280


def row(source: random.Random, kinds: int) -> Row:
    """A request whose output has few kinds of tokens, so that n-grams come again."""
    drawn = [source.randrange(VOCABULARY) for _ in range(kinds)]
    ban = Ban(
        size=source.choice([1, 2, 3, 5, 20, 30]),
        window=source.choice([1, 20, 50, 90, 400]),
        allowed=frozenset(source.sample(drawn, source.randrange(min(3, kinds)))),
    )
    output = source.choices(drawn, k=source.randrange(300))
    if source.random() < 0.5:
        # A loop, as long as the n-grams that the product bans need it.
        pattern = source.choices(drawn, k=source.randint(1, 40))
        output += pattern * source.randint(1, 5)
    return Row(
        prompt=source.choices(drawn, k=source.randint(1, 900)),
        output=output,
        ban=ban if source.random() < 0.9 else None,
    )


@pytest.mark.parametrize("seed", range(20))
def test_random_batches_are_banned_as_the_reference_says(cuda: torch.device, seed: int) -> None:
    source = random.Random(seed)
    runner = SecondRunner(SLOTS, vocabulary=VOCABULARY, model_length=MODEL_LENGTH, device=cuda)
    # Several steps: a slot keeps nothing of who had it before.
    for size in 1, 7, SLOTS:
        batch = [row(source, kinds=source.choice([1, 2, 4, 30])) for _ in range(size)]
        assert any(each.expected for each in batch) or size < SLOTS
        assert runner.step(batch) == [each.expected for each in batch]
