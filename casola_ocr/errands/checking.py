"""Looking through the lines of an errand before any of them is submitted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from casola_ocr.errands.endpoints import Endpoint
from casola_ocr.errands.lines import MAX_LINES, LineRefused, parse_line, read_lines
from casola_ocr.errands.model import LineError

#: Errors that are told of one file.
MAX_ERRORS = 100
#: Lines that are looked at before others have their turn.
LINES_AT_ONCE = 200


class Check:
    """What is found while `run` goes on: `total` lines, and the first of their `errors`."""

    def __init__(self, endpoint: Endpoint, most_bytes: int):
        self._endpoint = endpoint
        self._most_bytes = most_bytes
        self.total = 0
        self.errors: list[LineError] = []
        #: The model that all lines name; empty where they differ.
        self.model = ""
        #: A hash of each, because the names themselves may be long.
        self._seen: set[bytes] = set()

    def run(self, file: BinaryIO) -> Iterator[None]:
        """Look at every line; yields now and then, for others to have their turn."""
        for number, line in read_lines(file, self._most_bytes):
            self.total += 1
            if self.total > MAX_LINES:
                message = f"A batch has at most {MAX_LINES} requests."
                self.errors = [LineError(code="too_many_tasks", message=message)]
                return
            try:
                self._look(number, line)
            except LineRefused as error:
                self.errors.append(error.at(number))
                if len(self.errors) == MAX_ERRORS:
                    return
            if self.total % LINES_AT_ONCE == 0:
                yield
        if not self.total:
            message = "The batch input file is empty. Please ensure that it holds requests."
            self.errors = [LineError(code="empty_file", message=message)]

    def _look(self, number: int, line: bytes | None) -> None:
        request = self._endpoint.request(number, parse_line(line))
        name = hashlib.blake2b(
            request.custom_id.encode(errors="surrogatepass"), digest_size=16
        ).digest()
        if name in self._seen:
            raise LineRefused(
                "duplicate_custom_id",
                "The custom_id of this line is that of an earlier one; each is to be unique.",
                "custom_id",
            )
        self._seen.add(name)
        model = request.body.get("model")
        if self.total == 1:
            self.model = model if isinstance(model, str) else ""
        elif model != self.model:
            self.model = ""
