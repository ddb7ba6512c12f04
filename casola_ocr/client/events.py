"""Server-sent events as they come in (HTML Living Standard, section 9.2)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Message:
    """One event: its name, its data, and the position after it, if any."""

    event: str
    data: str
    id: str


class EventReader:
    """Makes messages of the bytes of one stream. Comments, which are sent for quiet, are none."""

    def __init__(self) -> None:
        self._rest = b""
        self._begin()

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that are complete with these bytes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found = []
        for line in lines:
            text = line.removesuffix(b"\r").decode(errors="replace")
            if text:
                self._take(text)
                continue
            if self._data:
                found.append(Message(event=self._event, data="\n".join(self._data), id=self._id))
            self._begin()
        return found

    def _begin(self) -> None:
        self._event, self._id, self._data = "message", "", list[str]()

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id":
            self._id = value
