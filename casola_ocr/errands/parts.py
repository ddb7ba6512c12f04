"""Parts: what came of some lines of an errand, kept until all of it is joined."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Literal, cast

from casola_ocr.errands.model import Counts, Errand
from casola_ocr.files import SPOOL_BYTES
from casola_ocr.objects import ObjectStore, keys

#: Lines of one part.
PART_LINES = 100

Kind = Literal["output", "error"]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A line of an output or error file, and what it counts."""

    kind: Kind
    values: dict[str, Any]
    counts: Counts
    #: JSON without line breaks, in the place of the null that `values` end with; None = of no null.
    body: BinaryIO | None = None

    def write(self, into: BinaryIO) -> None:
        line = as_line(self.values)
        if self.body is None:
            into.write(line)
            return
        head, _, tail = line.rpartition(b"null")
        into.write(head)
        with self.body as body:
            shutil.copyfileobj(body, into)
        into.write(tail)

    def close(self) -> None:
        """Let go of a body that nobody will write."""
        if self.body is not None:
            self.body.close()


class Parts:
    """The parts of one errand in the store."""

    def __init__(self, store: ObjectStore, errand: Errand):
        self._store = store
        self._tenant, self._errand_id = errand.tenant, errand.errand_id

    def there(self) -> dict[int, Counts]:
        """The number of each whole part, and what it counts."""
        found = {}
        for key in self._store.list(keys.errand_parts_prefix(self._tenant, self._errand_id)):
            number = keys.parse_errand_part(key)
            if number is not None:
                found[number] = Counts(**json.loads(self._store.get(key)))
        return found

    def put(self, number: int, answers: Iterable[Answered]) -> Counts:
        """Keep a part, and what it counts; when it returns, the part is whole.

        Putting it again changes nothing.
        """
        counts = Counts()
        with spool() as output, spool() as error:
            for answered in answers:
                answered.write(output if answered.kind == "output" else error)
                counts += answered.counts
            for kind, file in (("output", output), ("error", error)):
                file.seek(0)
                self._store.put(self._key(number, kind), file)
        self._store.put(self._key(number, "json"), json.dumps(asdict(counts)).encode())
        return counts

    def joined(self, count: int, kind: Kind, into: BinaryIO) -> Iterator[None]:
        """Write the lines of this kind of the first `count` parts; yields after each part."""
        for number in range(count):
            for chunk in self._store.stream(self._key(number, kind)):
                into.write(chunk)
            yield

    def delete(self) -> None:
        self._store.delete(
            self._store.list(keys.errand_parts_prefix(self._tenant, self._errand_id))
        )

    def _key(self, number: int, kind: str) -> str:
        return keys.errand_part(self._tenant, self._errand_id, number, kind)


def as_line(values: dict[str, Any]) -> bytes:
    """An object as a line of JSON."""
    return as_json(values) + b"\n"


def as_json(values: dict[str, Any]) -> bytes:
    """An object as JSON without line breaks."""
    try:
        return json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # A client's name for its line may hold half of a character, which UTF-8 cannot.
        return json.dumps(values).encode()


def spool() -> BinaryIO:
    """A temporary file, in memory while small, else on disk."""
    return cast(BinaryIO, SpooledTemporaryFile(SPOOL_BYTES))
