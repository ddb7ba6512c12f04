"""What is known of telling the end of one run of a job: the tries so far, and what comes next."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from casola_ocr.model import Job, JobStatus
from casola_ocr.times import timestamp
from casola_ocr.webhooks import shapes

#: Tries until a delivery is given up; with the pauses of `pause_seconds` about a day.
MAX_TRIES = 10
#: Each pause is so many times the one before, up to the longest.
GROWTH = 4
LONGEST_PAUSE_SECONDS = 8 * 3600
#: Tries that are kept of a delivery that is replayed again and again.
KEPT_TRIES = 50


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    #: It is tried, or will be.
    PENDING = "pending"
    #: The receiver answered with 2xx.
    DELIVERED = "delivered"
    #: Given up. A replay tries again.
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Try:
    """One request to the receiver, and what came of it."""

    #: Milliseconds since 1970.
    at: int
    seconds: float
    #: What was answered; None when nothing was.
    status_code: int | None
    #: ``timeout``, ``unreachable`` or ``refused``; empty when something was answered.
    error: str = ""

    @property
    def delivered(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def final(self) -> bool:
        """Whether another try would be answered the same: it must not be sent, or is not wanted."""
        return self.error == "refused" or self.status_code == 410


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The telling of one run's end. Times are milliseconds since 1970."""

    request_id: str
    run: int
    #: Such as ``job.completed``.
    event: str
    status: DeliveryStatus = DeliveryStatus.PENDING
    #: When it is tried next; 0 = now.
    next_at: int = 0
    #: Tries since it was first due, or since it was last asked for.
    count: int = 0
    tries: tuple[Try, ...] = ()

    @property
    def delivery_id(self) -> str:
        """The same for every try, so that receivers know a repetition."""
        return f"msg_{self.request_id.removeprefix('req_')}_{self.run}"

    def after(self, tried: Try, pause_ms: int) -> Delivery:
        """The delivery after one more try; `pause_ms` is for the next, if there is one."""
        count = self.count + 1
        if tried.delivered:
            status = DeliveryStatus.DELIVERED
        elif tried.final or count >= MAX_TRIES:
            status = DeliveryStatus.FAILED
        else:
            status = DeliveryStatus.PENDING
        next_at = tried.at + pause_ms if status is DeliveryStatus.PENDING else 0
        tries = (*self.tries, tried)[-KEPT_TRIES:]
        return replace(self, status=status, next_at=next_at, count=count, tries=tries)

    def again(self) -> Delivery:
        """The delivery when it is asked for once more."""
        return replace(self, status=DeliveryStatus.PENDING, next_at=0, count=0)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Delivery:
        values = json.loads(data)
        values["status"] = DeliveryStatus(values["status"])
        values["tries"] = tuple(Try(**tried) for tried in values["tries"])
        return cls(**values)

    def to_dict(self, host: str) -> shapes.Delivery:
        """The public shape, fixed by docs/webhooks.md."""
        return {
            "delivery_id": self.delivery_id,
            "request_id": self.request_id,
            "run": self.run,
            "event": self.event,
            "host": host,
            "status": self.status.value,
            "next_try_at": timestamp(self.next_at) if self.next_at else None,
            "tries": [
                {
                    "at": timestamp(tried.at),
                    "seconds": tried.seconds,
                    "status_code": tried.status_code,
                    "error": tried.error or None,
                }
                for tried in self.tries
            ],
        }


def first_of(job: Job) -> Delivery:
    """The delivery of a job that ended, before its first try."""
    return Delivery(request_id=job.request_id, run=job.run, event=event_of(job.status))


def event_of(status: JobStatus) -> str:
    return f"job.{status.value}"


def pause_seconds(tries: int, first: float) -> float:
    """How long to wait after so many tries, before jitter: `first`, then longer and longer."""
    return float(min(first * GROWTH ** (tries - 1), LONGEST_PAUSE_SECONDS))
