"""What a language model is told to do with a page: a mode's own words, or those of a client.

A client's words stand beside the model's special tokens, by which the service tells it where the
image is and what to write. So none of those may come from a client: they are taken out.
"""

from __future__ import annotations

import re
import unicodedata

from casola_ocr.errors import MalformedRequest
from casola_ocr.model import MODES, Wishes

#: Most characters of a client's prompt: it is kept in the record of the job, in Redis's memory.
MAX_PROMPT = 2000

#: Where the model sees the image.
IMAGE = "<image>"

#: How DeepSeek's models were trained to be asked for each mode (README of DeepSeek-OCR).
_MODE_PROMPTS = {
    "document": "<|grounding|>Convert the document to markdown.",
    "text": "Free OCR.",
    "figure": "Parse the figure.",
}

#: What chat clients usually write for plain OCR, and the mode that does it.
_PHRASES = {
    "free ocr": "text",
    "ocr this image": "text",
    "extract the text": "text",
    "extract all text": "text",
    "convert the document to markdown": "document",
}

_SPECIAL = re.compile(r"<image>|<[|｜][^<>]*[|｜]>", re.IGNORECASE)
_SPACES = "\t\n\r"


def neutral(text: str) -> str:
    """The text without special tokens, also those that come about when others are taken out."""
    while (shorter := _SPECIAL.sub("", text)) != text:
        text = shorter
    return text.strip()


def checked_prompt(prompt: str) -> str:
    """A client's prompt as a model may get it; empty where nothing of it is left.

    Raises:
        MalformedRequest: it is too long, or holds control characters or halves of characters.
    """
    if len(prompt) > MAX_PROMPT:
        raise MalformedRequest(f"'prompt' has at most {MAX_PROMPT} characters.", field="prompt")
    if any(unicodedata.category(char) in ("Cc", "Cs") and char not in _SPACES for char in prompt):
        raise MalformedRequest("'prompt' holds what is no character.", field="prompt")
    return neutral(prompt)


def asked_in_chat(text: str) -> tuple[str, str]:
    """Mode and prompt of what a chat client wrote beside its image; an empty prompt is none."""
    if len(text) > MAX_PROMPT:
        # To be refused, or ignored, as it is: tokens within tokens would take long to take out.
        return MODES[0], text
    said = neutral(text)
    mode = _PHRASES.get(said.removesuffix(".").rstrip().casefold())
    return (mode, "") if mode else (MODES[0], said)


def chat_prompt(wishes: Wishes) -> str:
    """What is written beside the image where a chat template says where the image is."""
    return wishes.prompt or _MODE_PROMPTS[wishes.mode]


def raw_prompt(wishes: Wishes) -> str:
    """The whole prompt where no template is used, but for the token that begins it (BOS)."""
    return f"{IMAGE}\n{chat_prompt(wishes)}"
