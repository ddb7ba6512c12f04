from __future__ import annotations

from casola_ocr.wire.fal_webhook import webhook_body


def test_an_output_is_told_as_ok() -> None:
    assert webhook_body("req_1", 200, {"text": "x"}) == {
        "request_id": "req_1",
        "gateway_request_id": "req_1",
        "status": "OK",
        "payload": {"text": "x"},
    }


def test_a_failure_is_told_with_the_body_of_its_error() -> None:
    told = webhook_body("req_1", 422, {"detail": []})
    assert told["status"] == "ERROR" and told["error"] == "Invalid status code: 422"
    assert told["payload"] == {"detail": []}


def test_an_output_that_cannot_be_sent_says_why() -> None:
    told = webhook_body("req_1", 200, None, payload_error="too large")
    assert told["status"] == "OK" and told["payload"] is None
    assert told["payload_error"] == "too large"
