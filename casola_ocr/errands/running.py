"""Working on one errand: looking through it, working it off, making its files."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import BinaryIO

import structlog

from casola_ocr.errands.checking import Check
from casola_ocr.errands.desk import Desk, Line, is_cancelled
from casola_ocr.errands.endpoints import ENDPOINTS
from casola_ocr.errands.lines import Request, parse_line, read_lines
from casola_ocr.errands.model import Counts, Errand, ErrandStatus, LineError, Report
from casola_ocr.errands.parts import PART_LINES, Answered, Kind, Parts, spool
from casola_ocr.errors import NotFound
from casola_ocr.files import BATCH_OUTPUT, spooled
from casola_ocr.ids import new_file_id
from casola_ocr.model import JobStatus
from casola_ocr.objects import keys
from casola_ocr.service import Service
from casola_ocr.times import now_ms

log = structlog.get_logger(__name__)

#: Lines of one errand that are submitted and have not ended.
WINDOW = 256
#: Lines that are submitted before others have their turn, and their most bytes together.
LINES_AT_ONCE = 16
BYTES_AT_ONCE = 4_000_000
#: Bytes of lines that were not accepted and wait in memory, above which no more are taken.
AGAIN_BYTES = 16_000_000
#: Lines whose answers are made at once; each is in memory while small, else in a file on disk.
ANSWERS_AT_ONCE = 16
#: How often lines are looked at that have not ended, and the errand whether it was cancelled.
LOOK_SECONDS = 0.5
STOP_SECONDS = 1.0
#: Room in a line for what is not the base64 of a document.
LINE_SLACK_BYTES = 64 * 1024

MEDIA_TYPE = "application/jsonl"
#: Why an errand is given up → how it ends.
_ENDINGS = {"batch_expired": ErrandStatus.EXPIRED, "batch_cancelled": ErrandStatus.CANCELLED}
#: A line, what it asks for, and its bytes.
_Found = tuple[Line, Request, int]


class Work:
    """The work on one errand, by one thread; `pool` helps it with what waits for the store."""

    def __init__(
        self,
        service: Service,
        errand: Errand,
        report: Report,
        *,
        check_lease: Callable[[], None],
        pool: Executor,
    ):
        self._service = service
        self._errand = errand
        self._report = report
        self._check_lease = check_lease
        self._pool = pool
        self._store = service.store
        self._endpoint = ENDPOINTS[errand.endpoint]
        self._parts = Parts(service.store, errand)
        self._most_bytes = service.settings.max_file_bytes * 4 // 3 + LINE_SLACK_BYTES
        self._desk = Desk(service.jobs, service.exports, service.sources, errand, self._endpoint)
        self._stop = ""
        self._stop_at = 0.0
        #: Part → its lines that were read so far.
        self._open: dict[int, list[Line]] = {}
        #: Of the parts alone.
        self._counts = Counts()
        self._unended: list[Line] = []
        self._look_at = 0.0
        self._again_at = 0.0

    def run(self) -> Generator[float]:
        """All that is left to do; yields the seconds that may pass before it goes on.

        Raises:
            LeaseLost: another runner works on it.
            Unavailable: the store or the records do not answer; begin again with what is stored.
        """
        if not self._report.status.terminal:
            if self._report.in_progress_at is None:
                yield from self._validate()
            if self._report.status is ErrandStatus.IN_PROGRESS:
                yield from self._work_off()
            if self._report.status is ErrandStatus.FINALIZING:
                yield from self._finish()
        self._tidy()

    def _validate(self) -> Iterator[float]:
        check = Check(self._endpoint, self._most_bytes)
        try:
            file = self._input()
        except NotFound:
            gone = LineError(code="file_not_found", message="The input file does not exist.")
            self._end(ErrandStatus.FAILED, errors=(gone,))
            return
        with file:
            for _ in check.run(file):
                if self._stopped():
                    break
                yield 0
            if self._stop:
                self._end(_ENDINGS[self._stop])
            elif check.errors:
                self._end(ErrandStatus.FAILED, errors=tuple(check.errors))
            else:
                self._check_lease()
                file.seek(0)
                self._store.put(self._content_key, file)
                self._keep(
                    status=ErrandStatus.IN_PROGRESS,
                    total=check.total,
                    model=check.model or self._errand.model,
                    in_progress_at=now_ms(),
                )

    def _work_off(self) -> Iterator[float]:
        there = self._parts.there()
        self._counts = sum(there.values(), Counts())
        with spooled(self._store.stream(self._content_key)) as file:
            lines = self._lines(file, there)
            again: deque[_Found] = deque()
            while not self._stopped():
                busy = len(self._unended) < WINDOW and self._submit(again, lines)
                yield from self._settle()
                if not (busy or again or self._open):
                    break
                yield 0 if busy else LOOK_SECONDS
            if self._stop:
                yield from self._give_up(again, lines)
        self._keep(
            status=ErrandStatus.FINALIZING,
            counts=self._counts,
            # What was all done in time after all is nothing else.
            ending=_ENDINGS[self._stop] if self._stop and self._counts.failed else None,
            finalizing_at=now_ms(),
            output_file_id=new_file_id() if self._counts.completed else None,
            error_file_id=new_file_id() if self._counts.failed else None,
        )

    def _lines(self, file: BinaryIO, there: dict[int, Counts]) -> Iterator[_Found]:
        """The lines that are in no part yet."""
        for index, (number, data) in enumerate(read_lines(file, self._most_bytes)):
            part = index // PART_LINES
            if part not in there:
                request = self._endpoint.request(number, parse_line(data))
                line = Line(number=number, custom_id=request.custom_id, part=part)
                yield line, request, len(data or b"")

    def _submit(self, again: deque[_Found], lines: Iterator[_Found]) -> bool:
        """Submit some lines; whether there were any.

        Those that cannot be accepted now are put behind `again`. They wait for themselves alone,
        and never take a whole round: lines behind them have their turn, too.
        """
        due = LINES_AT_ONCE // 2 if time.monotonic() >= self._again_at else 0
        some = [again.popleft() for _ in range(min(len(again), due))]
        size = 0
        while (
            len(some) < LINES_AT_ONCE
            and size < BYTES_AT_ONCE
            and len(again) < WINDOW
            and sum(length for *_, length in again) < AGAIN_BYTES
        ):
            found = next(lines, None)
            if found is None:
                break
            size += found[2]
            self._take(found[0])
            some.append(found)
        if some and some[-1][0].part >= self._report.opened:
            # Before any of it is submitted: what may have been is looked for when it is given up.
            self._keep(opened=some[-1][0].part + 1)
        waits = list(self._pool.map(lambda item: self._desk.submit(item[0], item[1]), some))
        again.extend(item for item, seconds in zip(some, waits, strict=True) if seconds)
        self._unended += [
            line
            for (line, *_), seconds in zip(some, waits, strict=True)
            if not (seconds or line.ended)
        ]
        if any(waits):
            self._again_at = time.monotonic() + max(waits)
        return bool(some)

    def _take(self, line: Line) -> None:
        self._open.setdefault(line.part, []).append(line)

    def _settle(self) -> Iterator[float]:
        """Look at what has not ended, and write the parts that are whole."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._look()
            counts = sum((self._so_far(lines) for lines in self._open.values()), self._counts)
            if counts != self._report.counts:
                self._keep(counts=counts)
        whole = [part for part in self._open if self._is_whole(part)]
        for part in whole:
            self._write(part)
            yield 0

    def _look(self) -> None:
        ids = [request_id for line in self._unended for request_id in line.ids]
        found = iter(self._service.records.jobs(ids) if ids else ())
        for line in self._unended:
            jobs = self._desk.look(line, list(islice(found, len(line.ids))))
            line.completed = bool(jobs) and all(job.status is JobStatus.COMPLETED for job in jobs)
            if line.ended and self._stop and is_cancelled(jobs):
                line.unexecuted = self._stop
        self._unended = [line for line in self._unended if not line.ended]

    def _so_far(self, lines: Sequence[Line]) -> Counts:
        """What lines count that are in no part yet; what they hold is not known."""
        completed = sum(line.ended and line.completed for line in lines)
        failed = sum(line.ended and not line.completed for line in lines)
        return Counts(completed=completed, failed=failed)

    def _is_whole(self, part: int) -> bool:
        lines = self._open[part]
        expected = min(PART_LINES, self._report.total - part * PART_LINES)
        return len(lines) == expected and all(line.ended for line in lines)

    def _write(self, part: int) -> None:
        lines = self._open[part]

        def answers() -> Generator[Answered]:
            for start in range(0, len(lines), ANSWERS_AT_ONCE):
                some = lines[start : start + ANSWERS_AT_ONCE]
                made = [self._pool.submit(self._desk.answer, line) for line in some]
                try:
                    for answer in made:
                        yield answer.result()
                finally:
                    # Where one failed: those that were made beside it hold files.
                    for answer in made:
                        if answer.exception() is None:
                            answer.result().close()

        self._check_lease()
        with closing(answers()) as answered:
            self._counts += self._parts.put(part, answered)
        del self._open[part]

    def _give_up(self, again: deque[_Found], lines: Iterator[_Found]) -> Iterator[float]:
        """Stop what was submitted; the rest is told not to have been carried out."""
        for line, request, _ in again:
            self._leave(line, request)
        list(self._pool.map(self._desk.cancel, self._unended))
        for number, (line, request, _) in enumerate(lines):
            self._take(line)
            self._leave(line, request)
            if number % PART_LINES == 0:
                yield from self._settle()
                yield 0
        while self._open:
            yield from self._settle()
            yield LOOK_SECONDS if self._open else 0

    def _leave(self, line: Line, request: Request) -> None:
        """Stop a line that may have been submitted."""
        if line.part < self._report.opened and self._desk.find(line, request):
            self._desk.cancel(line)
            if not line.ended:
                self._unended.append(line)
        else:
            line.unexecuted, line.ended = self._stop, True

    def _finish(self) -> Iterator[float]:
        count = -(-self._report.total // PART_LINES)
        names: tuple[tuple[Kind, str | None], ...] = (
            ("output", self._report.output_file_id),
            ("error", self._report.error_file_id),
        )
        for kind, file_id in names:
            if file_id is None:
                continue
            with spool() as whole:
                for _ in self._parts.joined(count, kind, whole):
                    yield 0
                self._check_lease()
                self._service.files.create(
                    self._errand.tenant,
                    whole,
                    file_name=f"{self._errand.errand_id}_{kind}.jsonl",
                    purpose=BATCH_OUTPUT,
                    media_type=MEDIA_TYPE,
                    expires_in=self._errand.output_expires_in,
                    # The same file, when this is done again.
                    file_id=file_id,
                )
        self._end(self._report.ending or ErrandStatus.COMPLETED)

    def _end(self, status: ErrandStatus, errors: tuple[LineError, ...] = ()) -> None:
        cancelled_at = self._service.errands.cancelled_at(self._errand)
        if cancelled_at is not None and status is not ErrandStatus.FAILED:
            status = ErrandStatus.CANCELLED
        self._keep(status=status, ended_at=now_ms(), cancelling_at=cancelled_at, errors=errors)
        log.info(
            "an errand has ended",
            action="errand_ended",
            tenant=self._errand.tenant,
            errand_id=self._errand.errand_id,
            status=status.value,
            lines=self._report.total,
        )

    def _tidy(self) -> None:
        """Remove what only the work needed; the marker last."""
        tenant, name = self._errand.tenant, self._errand.errand_id
        self._parts.delete()
        self._store.delete([self._content_key])
        self._store.delete([keys.errand_marker(tenant, name)])

    def _keep(self, **changes: object) -> None:
        self._check_lease()
        self._report = replace(self._report, **changes)  # type: ignore[arg-type]
        self._service.errands.put(self._errand, self._report)

    def _stopped(self) -> str:
        """Why the errand is to be given up; empty = it is not."""
        now = time.monotonic()
        if not self._stop and now >= self._stop_at:
            self._stop_at = now + STOP_SECONDS
            if self._service.errands.cancelled_at(self._errand) is not None:
                self._stop = "batch_cancelled"
            elif now_ms() >= self._errand.deadline_at:
                self._stop = "batch_expired"
        return self._stop

    def _input(self) -> BinaryIO:
        """All lines as one file.

        Raises:
            NotFound: a file of them was deleted.
        """
        if not self._errand.input_files or self._store.exists(self._content_key):
            return spooled(self._store.stream(self._content_key))
        return spooled(self._joined_input())

    def _joined_input(self) -> Iterator[bytes]:
        for index, file_id in enumerate(self._errand.input_files):
            if index:
                # The last line of a file need not end.
                yield b"\n"
            yield from self._service.files.stream(self._errand.tenant, file_id)

    @property
    def _content_key(self) -> str:
        return keys.content(self._errand.tenant, keys.ERRANDS, self._errand.errand_id)
