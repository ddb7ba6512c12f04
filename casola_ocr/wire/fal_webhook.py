"""What fal's webhook says of a request that ended.

Shape: fal.ai/docs, documentation/model-apis/inference/webhooks.
"""

from __future__ import annotations

from typing import Any


def webhook_body(
    request_id: str, status: int, payload: Any, *, payload_error: str = ""
) -> dict[str, Any]:
    """The body of the webhook.

    Args:
        request_id: also told as the gateway's: here a request is tried under one ID.
        status: the HTTP status with which the result route answers.
        payload: what it answers with, the model's output or its error's body.
        payload_error: why the output could not be sent; `payload` is None then.
    """
    told: dict[str, Any] = {"request_id": request_id, "gateway_request_id": request_id}
    if status == 200:
        told["status"] = "OK"
    else:
        told |= {"status": "ERROR", "error": f"Invalid status code: {status}"}
    told["payload"] = payload
    if payload_error:
        told["payload_error"] = payload_error
    return told
