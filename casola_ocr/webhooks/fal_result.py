"""What fal's webhook tells of a job: what its result route answers."""

from __future__ import annotations

from typing import Any

from casola_ocr.model import Job
from casola_ocr.outcomes import Outcomes
from casola_ocr.wire.fal_answers import OutputTooLarge, failed_output, output
from casola_ocr.wire.fal_webhook import webhook_body

#: Characters of JSON of text or boxes above which an output is left where it is: receivers have
#: limits of their own, and several are held at once.
MAX_PAYLOAD = 2_000_000
TOO_LARGE = "The output is too large for a webhook: read it from the request's response URL."


def fal_result(outcomes: Outcomes, job: Job) -> dict[str, Any]:
    """The body of the webhook of a job that ended.

    Raises:
        NotFound, Gone: the job was deleted meanwhile.
    """
    refused = failed_output([job])
    if refused:
        status, body, _ = refused
        return webhook_body(job.request_id, status, body)
    try:
        payload = output(outcomes, [job], MAX_PAYLOAD)
    except OutputTooLarge:
        return webhook_body(job.request_id, 200, None, payload_error=TOO_LARGE)
    return webhook_body(job.request_id, 200, payload)
