"""The n-gram ban as one would explain it: slow and obvious."""

from __future__ import annotations

from collections.abc import Sequence

from workers.engines.ngram import Ban


def banned_by_reference(output: Sequence[int], ban: Ban) -> set[int]:
    """Try every token that the output has: would the last `size` tokens then be there twice?"""
    if ban.size < 2:
        return set()
    seen = {
        tuple(output[start : start + ban.size])
        for start in range(max(0, len(output) - ban.window), len(output) - ban.size + 1)
    }
    before = tuple(output[len(output) - ban.size + 1 :])
    return {token for token in output if (*before, token) in seen} - ban.allowed


def repeats(output: Sequence[int], ban: Ban) -> list[int]:
    """Return where the output breaks the ban: the positions of tokens that were banned there."""
    return [at for at in range(len(output)) if output[at] in banned_by_reference(output[:at], ban)]
