"""What receivers are sent: the end of a job, signed.

Standard Webhooks: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
fal's: fal.ai/docs, documentation/model-apis/inference/webhooks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from casola_ocr.model import Job
from casola_ocr.times import timestamp
from casola_ocr.webhooks.delivery import Delivery
from casola_ocr.webhooks.fal_key import FalKey
from casola_ocr.webhooks.secrets import Secret
from casola_ocr.webhooks.shapes import JobEnded


@dataclass(frozen=True, kw_only=True)
class Message:
    """A request to a receiver."""

    headers: dict[str, str]
    body: bytes


def standard_event(job: Job, delivery: Delivery) -> JobEnded:
    """What is told of a job: where it stands, and where to read on. Never its text."""
    links = job.to_dict()["links"]
    return {
        "type": delivery.event,
        "timestamp": timestamp(job.finished_at),
        "data": {
            "request_id": job.request_id,
            "batch_id": job.batch_id or None,
            "run": job.run,
            "status": job.status.value,
            "error": job.error.code if job.error else None,
            "links": {**links, "deliveries": f"{links['self']}/deliveries"},
        },
    }


def standard_message(
    delivery_id: str, event: JobEnded, secrets: Sequence[Secret], now: float | None = None
) -> Message:
    """The event with a signature of each secret, the newest first; `now` is seconds since 1970."""
    body = _json(event)
    at = str(int(time.time() if now is None else now))
    signed = b".".join((delivery_id.encode(), at.encode(), body))
    signatures = (
        base64.b64encode(hmac.digest(secret.key, signed, hashlib.sha256)).decode()
        for secret in secrets
    )
    headers = {
        "webhook-id": delivery_id,
        "webhook-timestamp": at,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
    return Message(headers=_common(headers), body=body)


def fal_message(
    request_id: str, tenant: str, told: dict[str, Any], key: FalKey, now: float | None = None
) -> Message:
    """What fal's webhook tells, signed with the service's key; the user is the tenant."""
    body = _json(told)
    at = str(int(time.time() if now is None else now))
    digest = hashlib.sha256(body).hexdigest()
    signed = "\n".join((request_id, tenant, at, digest)).encode()
    headers = {
        "X-Fal-Webhook-Request-Id": request_id,
        "X-Fal-Webhook-User-Id": tenant,
        "X-Fal-Webhook-Timestamp": at,
        "X-Fal-Webhook-Signature": key.sign(signed).hex(),
    }
    return Message(headers=_common(headers), body=body)


def _common(headers: dict[str, str]) -> dict[str, str]:
    return {"Content-Type": "application/json", "User-Agent": "casola-ocr", **headers}


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
