"""What a token is for engines that have none: a word with the white space before it.

So the tokens of a text put together are the text, and the three numbers that a client can compare
agree: what `usage` counts, what `max_tokens` cuts off, and what `logprobs` lists.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

#: White space at the end belongs to the last word; a text of white space alone is one token.
_TOKEN = re.compile(r"\s*\S+(?:\s+\Z)?|\s+\Z")

#: What OpenAI writes for a probability of nothing, whose logarithm JSON cannot hold.
NEVER = -9999.0


def tokens(text: str) -> Iterator[str]:
    """The tokens of a text, in order."""
    return (match[0] for match in _TOKEN.finditer(text))


def first_tokens(text: str, most: int) -> tuple[str, int, bool]:
    """At most so many tokens of a text, how many they are, and whether that is all of it."""
    end = count = 0
    for match in _TOKEN.finditer(text):
        if count == most:
            return text[:end], count, False
        end, count = match.end(), count + 1
    return text, count, True


def logprobs(text: str, page: Mapping[str, Any], alternatives: int) -> list[dict[str, Any]] | None:
    """A list entry for each token of a page's text, from its words' confidences.

    None where the page does not tell the confidence of every word: nothing is invented. The engines
    tell only the word that they took, so there is at most one alternative, that word.
    """
    words = [word for line in page.get("lines", ()) for word in line["words"]]
    found, left = [], iter(words)
    for token in tokens(text):
        sure, met = 1.0, ""
        while met != token.strip():
            word = next(left, None)
            if word is None or word["confidence"] is None:
                return None
            met += "".join(word["text"].split())
            sure *= word["confidence"]
            if not token.strip().startswith(met):
                return None
        entry = _entry(token, sure)
        found.append({**entry, "top_logprobs": [entry] if alternatives else []})
    return found


def _entry(token: str, sure: float) -> dict[str, Any]:
    logprob = math.log(sure) if sure > 0 else NEVER
    return {"token": token, "logprob": round(logprob, 6), "bytes": list(token.encode())}
