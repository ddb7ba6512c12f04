"""The n-gram ban: a model may not write the same n tokens twice within a window.

It keeps DeepSeek-OCR from writing one line for ever, and is part of how the model is meant to be
run. The rule is that of vLLM's own ``NGramPerReqLogitsProcessor`` to the last token, and so are the
names of what a request asks for in ``SamplingParams.extra_args`` (``vllm_xargs`` over HTTP): a
plain ``vllm serve`` with vLLM's processor bans the same. `ngram_v1` and `ngram_v2` carry it out
within vLLM; only they import vLLM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: vLLM's own default, in tokens.
WINDOW = 100


@dataclass(frozen=True, kw_only=True)
class Ban:
    """What one request asks for."""

    #: Tokens that must not be the same again; 1 bans nothing.
    size: int
    #: How many of the last output tokens are looked at.
    window: int = WINDOW
    #: Tokens that may always follow, such as the tags of table cells.
    allowed: frozenset[int] = frozenset()

    def extra_args(self) -> dict[str, Any]:
        """Return this as a request's ``extra_args``."""
        return {
            "ngram_size": self.size,
            "window_size": self.window,
            "whitelist_token_ids": sorted(self.allowed),
        }


def asked(extra_args: Mapping[str, Any] | None) -> Ban | None:
    """Return the ban that a request asks for, None if it asks for none.

    Raises:
        ValueError: a number is not a positive integer, or the tokens are no integers. It is vLLM's
            way to refuse a request.
    """
    if not extra_args or extra_args.get("ngram_size") is None:
        return None
    size, window = extra_args["ngram_size"], extra_args.get("window_size", WINDOW)
    for name, number in ("ngram_size", size), ("window_size", window):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ValueError(f"`{name}` has to be a positive integer, got {number!r}.")
    allowed = extra_args.get("whitelist_token_ids") or ()
    if not isinstance(allowed, Iterable) or not all(isinstance(token, int) for token in allowed):
        raise ValueError(f"`whitelist_token_ids` have to be integers, got {allowed!r}.")
    return Ban(size=size, window=window, allowed=frozenset(allowed))


def banned(output: Sequence[int], ban: Ban) -> set[int]:
    """Return the tokens that must not come next.

    Only the output counts, never the prompt. Runs for each token of each page, so the search for
    the last token is left to C: 3 µs where nothing repeats.
    """
    if ban.size < 2 or len(output) < ban.size:
        return set()
    before = ban.size - 1
    tail = list(output[-ban.window :])
    prefix = tail[-before:]
    last, end = tail[-1], len(tail) - 1
    found: set[int] = set()
    # `at` is where the prefix may have ended before.
    at = before - 1
    while at < end:
        try:
            at = tail.index(last, at, end)
        except ValueError:
            break
        if tail[at - before + 1 : at + 1] == prefix:
            found.add(tail[at + 1])
        at += 1
    return found - ban.allowed
