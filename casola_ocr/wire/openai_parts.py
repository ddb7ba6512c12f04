"""What an OpenAI client sends beside its words: documents in content parts, and checked numbers.

Chat and Responses name the same three things differently; both end here as `Wanted`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from casola_ocr.documents.names import clean_file_name
from casola_ocr.errors import MalformedRequest
from casola_ocr.jobs import Jobs, NewDocument, Options
from casola_ocr.metadata import check_metadata
from casola_ocr.model import Lane
from casola_ocr.prompts import asked_in_chat
from casola_ocr.sources import Sources

#: Parts of a chat message that are ignored, as their text is where no model takes a prompt.
CHAT_WORDS = ("text", "refusal")
RESPONSE_WORDS = ("input_text",)


@dataclass(frozen=True)
class Wanted:
    """A document that is asked for: one of a URL, the base64 of a file, or a file's ID."""

    url: str = ""
    data: str = ""
    file_id: str = ""
    file_name: str = ""


def from_chat(part: Any, where: str) -> Wanted | None:
    """The document in a part of a chat message; None for text.

    Raises:
        MalformedRequest: it is no part that this service understands.
    """
    kind = _kind(part, where)
    if kind in CHAT_WORDS:
        return None
    if kind == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        return Wanted(url=_string(url, f"{where}.image_url.url"))
    if kind == "file":
        return _file(part.get("file"), f"{where}.file")
    raise _unknown(kind, where, "text, image_url and file")


def from_response(part: Any, where: str) -> Wanted | None:
    """The document in a part of a Responses message; None for text.

    Raises:
        MalformedRequest: it is no part that this service understands.
    """
    kind = _kind(part, where)
    if kind in RESPONSE_WORDS:
        return None
    if kind == "input_image":
        if part.get("file_id") is not None:
            return _file(part, where)
        return Wanted(url=_string(part.get("image_url"), f"{where}.image_url"))
    if kind == "input_file":
        return _file(part, where)
    raise _unknown(kind, where, "input_text, input_image and input_file")


def said(
    messages: Any,
    name: str,
    read: Callable[[Any, str], Wanted | None],
    kinds: Sequence[str],
    missing: str,
) -> tuple[tuple[Wanted, ...], str]:
    """The documents of the last user message, at least one, and the words beside them.

    `name` is what the client calls the messages, `read` understands one of their parts, `kinds` are
    the parts that hold words, and `missing` is what to send where there is no document.

    Raises:
        MalformedRequest: there is none, or a part that this service does not understand.
    """
    found = [
        (index, message)
        for index, message in enumerate(messages if isinstance(messages, list) else [])
        if isinstance(message, dict) and message.get("role") == "user"
    ]
    index, message = found[-1] if found else (0, {})
    content = message.get("content")
    content = content if isinstance(content, list) else []
    documents = [
        read(part, f"{name}[{index}].content[{number}]") for number, part in enumerate(content)
    ]
    wanted = tuple(document for document in documents if document is not None)
    if not wanted:
        raise MalformedRequest(
            f"The last user message holds no document: send {missing}.", field=name
        )
    return wanted, words(content, kinds)


def options(jobs: Jobs, model: str, words: str, lane: Lane) -> Options:
    """How to read for a client that wrote these words beside its images.

    Raises:
        UnknownModel, EngineUnavailable: no engine would read.
    """
    mode, prompt = asked_in_chat(words)
    if prompt and not jobs.takes_prompt(model):
        prompt = ""
    return Options(model=model, lane=lane, mode=mode, prompt=prompt)


def document(sources: Sources, tenant: str, wanted: Wanted) -> NewDocument:
    """What is asked for; the caller closes its source, where that is a file.

    Raises:
        BadDataUrl, EmptyFile, FileTooLarge, BadUrl: it is not acceptable.
        NotFound: there is no such file.
    """
    if wanted.file_id:
        return sources.of_file(tenant, wanted.file_id)
    url = wanted.url
    if wanted.data:
        # The `file` part holds a data: URL, or the bare base64 of it.
        is_url = wanted.data[:5].lower() == "data:"
        url = wanted.data if is_url else f"data:;base64,{wanted.data}"
    made = sources.of_url(tenant, url)
    name = clean_file_name(wanted.file_name) if wanted.file_name else made.file_name
    return replace(made, file_name=name)


def words(parts: Sequence[Any], kinds: Sequence[str]) -> str:
    """The text of the parts that hold text, one line for each."""
    texts = [part.get("text") for part in parts if part.get("type") in kinds]
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def checked(body: dict[str, Any], name: str, kind: type | tuple[type, ...], what: str) -> Any:
    """A field of the body, or None where it is absent or null.

    Raises:
        MalformedRequest: it is something else; true and false are no numbers.
    """
    value = body.get(name)
    if value is None:
        return None
    wrong_bool = isinstance(value, bool) and kind is not bool
    if wrong_bool or not isinstance(value, kind):
        raise MalformedRequest(f"'{name}' is {what}.", field=name)
    return value


def whole(body: dict[str, Any], name: str, low: int, high: int | None = None) -> int | None:
    """A whole number of the body; as `checked`."""
    value: int | None = checked(body, name, int, "a whole number")
    if value is not None and (value < low or (high is not None and value > high)):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        raise MalformedRequest(f"'{name}' is {limits}.", field=name)
    return value


def harmless(body: dict[str, Any]) -> None:
    """Check what is accepted and changes nothing.

    Raises:
        MalformedRequest: a field is what OpenAI refuses too.
    """
    for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty"):
        number = checked(body, name, (int, float), "a number")
        if number is not None and number != number:
            raise MalformedRequest(f"'{name}' is a number.", field=name)
    checked(body, "seed", int, "a whole number")
    checked(body, "user", str, "a string")
    checked(body, "store", bool, "true or false")
    check_metadata(body.get("metadata"))


def _file(file: Any, where: str) -> Wanted:
    if not isinstance(file, dict):
        raise MalformedRequest(f"'{where}' is an object.", field=where)
    name = file.get("filename")
    if name is not None:
        _string(name, f"{where}.filename")
    for field, key in (("file_id", "file_id"), ("data", "file_data"), ("url", "file_url")):
        if file.get(key) is not None:
            made = Wanted(file_name=name or "")
            return replace(made, **{field: _string(file[key], f"{where}.{key}")})
    raise MalformedRequest(f"'{where}' needs 'file_data' or 'file_id'.", field=where)


def _kind(part: Any, where: str) -> str:
    if not isinstance(part, dict):
        raise MalformedRequest(f"'{where}' is an object with a 'type'.", field=where)
    return _string(part.get("type"), f"{where}.type")


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise MalformedRequest(f"'{where}' is a string with something in it.", field=where)
    return value


def _unknown(kind: str, where: str, known: str) -> MalformedRequest:
    return MalformedRequest(
        f"A part of the type '{kind[:40]}' cannot be read here; known are {known}.",
        field=f"{where}.type",
    )
