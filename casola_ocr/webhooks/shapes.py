"""What our API answers about webhooks; as of `casola_ocr.shapes`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, with_config

# As of `casola_ocr.shapes`.
from typing_extensions import TypedDict

from casola_ocr.shapes import (
    DESCRIBED,
    EXAMPLE_JOB,
    BatchId,
    Links,
    RequestId,
    Time,
    example_of,
    one_of,
)

_DELIVERY = {
    "delivery_id": "msg_01KB5Q2Z6F8WJX3T7N9YV4CHGD_1",
    "request_id": EXAMPLE_JOB["request_id"],
    "run": 1,
    "event": "job.completed",
    "host": "hooks.example.com",
    "status": "delivered",
    "next_try_at": None,
    "tries": [
        {"at": "2026-11-25T12:00:02.400Z", "seconds": 0.08, "status_code": 204, "error": None}
    ],
}


@with_config(DESCRIBED)
class DeliveryTry(TypedDict):
    """One request to the receiver."""

    at: Time
    seconds: float
    status_code: int | None
    """What was answered; null when nothing was."""
    error: str | None
    """`timeout`, `unreachable` or `refused`; null when something was answered."""


@with_config(example_of(_DELIVERY))
class Delivery(TypedDict):
    """The telling of one run's end."""

    delivery_id: str
    """The same for every try."""
    request_id: RequestId
    run: Annotated[int, Field(ge=1)]
    event: str
    host: str
    """The receiver; the rest of its address may be secret."""
    status: Annotated[str, one_of(["pending", "delivered", "failed"])]
    next_try_at: Time | None
    """null: now, or not again."""
    tries: list[DeliveryTry]
    """The last ones."""


@with_config(example_of({"data": [_DELIVERY]}))
class Deliveries(TypedDict):
    """The deliveries of a job, the newest first."""

    data: list[Delivery]


@with_config(DESCRIBED)
class EndLinks(Links):
    """Where to read on."""

    deliveries: str


@with_config(DESCRIBED)
class End(TypedDict):
    """How a run of a job ended."""

    request_id: RequestId
    batch_id: BatchId | None
    run: Annotated[int, Field(ge=1)]
    status: Annotated[str, one_of(["completed", "failed", "cancelled"])]
    error: str | None
    """A code of the errors; null where at least one page was read."""
    links: EndLinks


@with_config(DESCRIBED)
class JobEnded(TypedDict):
    """What a webhook is told, signed as Standard Webhooks says."""

    type: Annotated[str, one_of(["job.completed", "job.failed", "job.cancelled"])]
    timestamp: Time | None
    data: End


@with_config(DESCRIBED)
class ReplacedSecret(TypedDict):
    """A secret that a newer one replaced."""

    expires_at: Time | None
    """Until then it signs beside the newer ones."""


@with_config(
    example_of(
        {
            "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "created_at": "2026-11-25T12:00:00.000Z",
            "previous": [{"expires_at": "2026-11-26T12:00:00.000Z"}],
        }
    )
)
class SigningSecret(TypedDict):
    """What the tenant's webhooks are signed with."""

    secret: str
    """`whsec_` and base64, as Standard Webhooks writes it."""
    created_at: Time
    previous: list[ReplacedSecret]
