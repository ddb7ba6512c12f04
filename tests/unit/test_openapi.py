"""The OpenAPI document: it is valid, whole, and its examples are true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.openapi import ANSWER_HEADERS, ASKED_HEADERS
from casola_ocr.errors import all_errors
from tests.api_stub import make_world

#: What changes or removes something that exists, or only answers: it needs no key.
CREATES_NOTHING = {
    "cancel_job",
    "cancel_batch",
    "delete_jobs",
    "draw_preview",
    "revoke_token",
    "send_upload",
}
#: Whose answer must not be kept to be given again: it holds a secret.
UNREPEATABLE = {"create_token", "rotate_secret"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    answer = make_world().client.get("/api/v1/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    found: dict[str, Any] = answer.get_json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def test_it_is_an_openapi_3_1_document(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_it_has_every_route_of_ours_and_no_other(document: dict[str, Any]) -> None:
    rules = make_world().client.application.url_map.iter_rules()
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in rules
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/") or rule.rule in ("/healthz", "/readyz")
    }
    assert {(path, method) for path, method, _ in operations(document)} == routes


def test_every_operation_has_a_name_of_its_own_a_title_and_a_good_answer(
    document: dict[str, Any],
) -> None:
    found = [operation for _, _, operation in operations(document)]
    names = [operation["operationId"] for operation in found]
    assert len(set(names)) == len(names)
    for operation in found:
        assert operation["summary"], operation["operationId"]
        assert any(status.startswith("2") for status in operation["responses"])


def test_whatever_creates_something_takes_an_idempotency_key(document: dict[str, Any]) -> None:
    keyless = {
        operation["operationId"]
        for _, method, operation in operations(document)
        if method in ("POST", "PUT")
        and "Idempotency-Key" not in [told["name"] for told in operation.get("parameters", [])]
    }
    assert keyless - UNREPEATABLE == CREATES_NOTHING


def test_every_example_is_what_its_schema_says(document: dict[str, Any]) -> None:
    checked = 0
    for where, content in contents(document):
        for named in content.get("examples", {}).values():
            shared = document["components"]["examples"]
            example = shared[named["$ref"].rpartition("/")[2]] if "$ref" in named else named
            schema = {**content["schema"], "components": document["components"]}
            validator = jsonschema.Draft202012Validator(schema)
            assert [error.message for error in validator.iter_errors(example["value"])] == [], where
            checked += 1
    assert checked > 100


def test_every_shape_that_is_asked_for_or_answered_has_an_example(document: dict[str, Any]) -> None:
    without = {
        where
        for where, content in contents(document)
        if where.endswith("json")
        and "type" not in content["schema"]
        and not content.get("examples")
    }
    assert without == set()


def test_every_error_of_ours_is_told(document: dict[str, Any]) -> None:
    assert {error.code for error in all_errors()} <= set(document["components"]["examples"])


def test_headers_that_nobody_uses_are_not_described(document: dict[str, Any]) -> None:
    whole = str(document)
    for name in (*ANSWER_HEADERS, *ASKED_HEADERS):
        assert f"'{name}'" in whole


def contents(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body that is asked for or answered, and where it stands."""
    for path, method, operation in operations(document):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{method} {path} body {kind}", content
        for status, answer in operation["responses"].items():
            for kind, content in answer.get("content", {}).items():
                yield f"{method} {path} {status} {kind}", content
