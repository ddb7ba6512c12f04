"""What a vision-language model wrote about one page, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

#: Why a model stopped: by itself, at its limit of tokens, or because it repeated itself.
Finish = Literal["stop", "length", "repetition"]


@dataclass(frozen=True, kw_only=True)
class Generated:
    """The text with its markup, and how sure the model was of each token.

    Token ``n`` is ``text[starts[n]:starts[n + 1]]`` and may be empty: a letter of several bytes can
    take several tokens. What ended the text (the end-of-sequence token) is not among them.
    """

    text: str
    starts: Sequence[int]
    #: Natural logarithms of the chosen tokens' probabilities, before any ban; None = not told.
    logprobs: Sequence[float] | None
    #: Of the chosen token among all, the likeliest is 1. Without sampling more than 2 tells that
    #: likelier ones were banned (of equals the second may be 2). None = not told.
    ranks: Sequence[int] | None
    finish: Finish
