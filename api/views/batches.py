"""Jobs that were submitted together."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import jobs
from casola_ocr.model import Batch, JobStatus, timestamp

blueprint = Blueprint("batches", __name__, url_prefix="/api/v1/batches")
blueprint.before_request(authenticate)


@blueprint.get("/<batch_id>")
def get(batch_id: str) -> ResponseReturnValue:
    return render(jobs().batch(tenant(), batch_id))


@blueprint.post("/<batch_id>/cancel")
def cancel(batch_id: str) -> ResponseReturnValue:
    return render(jobs().cancel_batch(tenant(), batch_id))


def render(batch: Batch) -> dict[str, Any]:
    """The public shape of a batch."""
    counted = Counter(job.status for job in batch.jobs)
    ended = all(job.status.terminal for job in batch.jobs)
    return {
        "batch_id": batch.batch_id,
        "status": "completed" if ended else "processing",
        "created_at": timestamp(batch.created_at),
        "counts": {
            "total": len(batch.jobs),
            **{status.value: counted[status] for status in JobStatus},
        },
        "jobs": [job.to_dict() for job in batch.jobs],
    }
