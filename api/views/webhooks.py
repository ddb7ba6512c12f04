"""Webhooks: the deliveries of a job, the secret that signs them, and fal's public keys."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue
from pydantic import Field

from api.auth import authenticate, tenant
from api.context import service
from api.description import JSON, Answer, Description
from api.dialects.common import json_object
from api.idempotency import replayable
from api.validation import Body, example, validated
from casola_ocr.errors import Conflict, Gone
from casola_ocr.times import timestamp
from casola_ocr.webhooks import shapes
from casola_ocr.webhooks.secrets import Secret

blueprint = Blueprint("webhooks", __name__, url_prefix="/api/v1")
blueprint.before_request(authenticate)

#: Everybody may read public keys.
public = Blueprint("webhook_keys", __name__)

#: How long a receiver may keep the public keys.
KEYS_SECONDS = 3600


class Rotation(Body):
    """How a secret is replaced."""

    model_config = example({"keep_hours": 24})

    keep_hours: Annotated[float, Field(ge=0, le=24 * 30)] = 24
    """How long the secrets before go on to sign beside the new one."""


@blueprint.get("/jobs/<request_id>/deliveries")
@Description(
    "list_deliveries",
    answers={200: Answer("The deliveries.", shapes.Deliveries)},
    raises=(Gone,),
)
def deliveries(request_id: str) -> ResponseReturnValue:
    """List what was told to a job's webhook."""
    host, found = service().deliveries.list(tenant(), request_id)
    body: shapes.Deliveries = {"data": [delivery.to_dict(host) for delivery in found]}
    return body


@blueprint.post("/jobs/<request_id>/deliveries/<delivery_id>/replay")
@Description(
    "replay_delivery",
    answers={202: Answer("It is tried again.", shapes.Delivery)},
    raises=(Gone, Conflict),
)
@replayable
def replay(request_id: str, delivery_id: str) -> ResponseReturnValue:
    """Tell the end of a job once more."""
    host, again = service().deliveries.replay(tenant(), request_id, delivery_id)
    return again.to_dict(host), 202


@blueprint.get("/webhooks/secret")
@Description("get_secret", answers={200: Answer("The secret.", shapes.SigningSecret)})
def secret() -> ResponseReturnValue:
    """Read the secret that signs webhooks."""
    return _shown(service().secrets.valid(tenant()))


@blueprint.post("/webhooks/secret/rotate")
@Description(
    "rotate_secret",
    takes={JSON: Rotation},
    needs_body=False,
    answers={200: Answer("The new secret.", shapes.SigningSecret)},
)
def rotate() -> ResponseReturnValue:
    """Replace the secret; the one before goes on to sign for a while."""
    wanted = validated(Rotation, json_object() if request.get_data() else {})
    return _shown(service().secrets.rotate(tenant(), keep_seconds=wanted.keep_hours * 3600))


@public.get("/.well-known/jwks.json")
def jwks() -> ResponseReturnValue:
    headers = {"Cache-Control": f"public, max-age={KEYS_SECONDS}"}
    return jsonify(service().fal_key.jwks()), 200, headers


def _shown(secrets: list[Secret]) -> ResponseReturnValue:
    newest, *older = secrets
    body: shapes.SigningSecret = {
        "secret": newest.secret,
        "created_at": timestamp(newest.created_at),
        "previous": [{"expires_at": timestamp(old.expires_at)} for old in older],
    }
    return body, 200, {"Cache-Control": "no-store"}
