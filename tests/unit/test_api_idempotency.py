"""Idempotency-Key on routes that create something, and tries of SDKs."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from flask import Flask, g, request
from werkzeug.datastructures import MultiDict

from api import problems
from api.idempotency import replayable
from casola_ocr.errors import KeyReused
from casola_ocr.repeats import Answer
from tests.api_stub import DATA_URL, World, make_world


class FirstAnswers:
    """`Answers` in a dict."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], tuple[str, Answer]] = {}

    def once(
        self, tenant: str, key: str, fingerprint: str, make: Callable[[], Answer]
    ) -> tuple[Answer, bool]:
        found = self.kept.get((tenant, key))
        if found is None:
            self.kept[tenant, key] = fingerprint, make()
            return self.kept[tenant, key][1], False
        if found[0] != fingerprint:
            raise KeyReused()
        return found[1], True


@pytest.fixture
def world() -> World:
    made = make_world()
    made.client.application.extensions["casola"].answers = FirstAnswers()
    return made


def failed_job(world: World) -> str:
    request_id: str = world.client.post("/api/v1/jobs", json={"url": DATA_URL}).json["request_id"]
    return request_id


def test_a_retry_with_a_key_is_asked_for_once(world: World) -> None:
    route = f"/api/v1/jobs/{failed_job(world)}/retry"
    key = {"Idempotency-Key": '"k"'}
    first = world.client.post(route, json={"model": "tesseract"}, headers=key)
    again = world.client.post(route, json={"model": "tesseract"}, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.get_json() == again.get_json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Retry-After"] == first.headers["Retry-After"]
    assert len([call for call in world.jobs.calls if call[0] == "retry"]) == 1
    other = world.client.post(route, json={"model": "pp-ocrv6"}, headers=key)
    assert (other.status_code, other.get_json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = f"/api/v1/jobs/{failed_job(world)}/retry"
    answer = world.client.post(elsewhere, json={"model": "tesseract"}, headers=key)
    assert answer.status_code == 422


def test_without_a_key_each_request_is_its_own(world: World) -> None:
    route = f"/api/v1/jobs/{failed_job(world)}/retry"
    for _ in range(2):
        assert world.client.post(route).status_code == 202
    assert len([call for call in world.jobs.calls if call[0] == "retry"]) == 2


def test_an_error_is_answered_as_one_and_a_long_key_refused(world: World) -> None:
    answer = world.client.post("/api/v1/jobs/req_nothing/retry", headers={"Idempotency-Key": "k"})
    assert answer.status_code == 404
    answer = world.client.post(
        f"/api/v1/jobs/{failed_job(world)}/retry", headers={"Idempotency-Key": "k" * 256}
    )
    assert answer.status_code == 400


def test_what_nobody_may_keep_is_told_so_with_a_key_too(world: World) -> None:
    @replayable
    def create() -> Any:
        return {}, 201, {"Cache-Control": "no-store"}

    app: Flask = world.client.application
    with app.test_request_context("/x", method="POST", headers={"Idempotency-Key": "k"}):
        g.tenant = "acme"
        assert app.make_response(create()).headers["Cache-Control"] == "no-store"


def test_a_form_is_the_same_however_its_parts_are_divided(world: World) -> None:
    app: Flask = world.client.application
    made: list[Any] = []

    @replayable
    def create() -> Any:
        made.append((request.form.to_dict(), request.files["file"].read()))
        return {"number": len(made)}, 201

    def ask(content: bytes, name: str = "a.png", **fields: str) -> tuple[int, Any]:
        parts = MultiDict([("file", (BytesIO(content), name)), *fields.items()])
        with app.test_request_context(
            "/x", method="POST", data=parts, headers={"Idempotency-Key": "k"}
        ):
            g.tenant = "acme"
            try:
                response = app.make_response(create())
            except KeyReused as error:
                return problems.problem(error).status_code, None
            return response.status_code, response.get_json()

    assert ask(b"abc", purpose="ocr") == (201, {"number": 1})
    assert ask(b"abc", purpose="ocr") == (201, {"number": 1})
    assert made == [({"purpose": "ocr"}, b"abc")]
    for other in (
        ask(b"abd", purpose="ocr"),
        ask(b"abc", purpose="batch"),
        ask(b"abc", "b.png", purpose="ocr"),
        ask(b"abc"),
    ):
        assert other[0] == 422


def test_a_submission_that_was_there_already_says_so() -> None:
    world = make_world()
    fresh = world.client.post("/api/v1/jobs", json={"url": DATA_URL})
    assert "Idempotent-Replayed" not in fresh.headers
    world.jobs.replays = True
    for body in ({"url": DATA_URL}, {"urls": [DATA_URL] * 2}):
        for prefer in ("", "wait=5"):
            answer = world.client.post("/api/v1/jobs", json=body, headers={"Prefer": prefer})
            assert answer.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("header", "attempt"), [("0", [0]), ("2", [2]), (None, []), ("x", []), ("9999", [])]
)
def test_tries_that_an_sdk_counts_are_passed_on(header: str | None, attempt: list[int]) -> None:
    world = make_world()
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": DATA_URL}}]}
    answer = world.client.post(
        "/v1/chat/completions",
        json={"model": "auto", "messages": [message]},
        headers={} if header is None else {"X-Stainless-Retry-Count": header},
    )
    assert answer.status_code == 200
    assert ("submit", "local", *attempt) in world.jobs.calls


def test_an_answer_that_comes_before_the_end_says_that_this_was_preferred() -> None:
    world = make_world()
    for body in ({"url": DATA_URL}, {"urls": [DATA_URL] * 2}):
        answer = world.client.post("/api/v1/jobs", json=body, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202
        assert answer.headers["Preference-Applied"] == "respond-async"
        answer = world.client.post(
            "/api/v1/jobs", json=body, headers={"Prefer": "respond-async, wait=9"}
        )
        assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=9")
