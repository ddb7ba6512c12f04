"""Tenants, their tokens and what they keep, for those who look after the service."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import Field

from api.auth import authenticate, require_admin
from api.context import service
from api.description import JSON, Answer, Description
from api.dialects.common import json_object
from api.idempotency import replayable
from api.validation import Body, Query, asked, example, validated
from casola_ocr import operator_shapes as shapes
from casola_ocr.errors import Conflict, NotFound, Unprocessable
from casola_ocr.ids import TENANT_NAME
from casola_ocr.tenants import Tenant
from casola_ocr.times import timestamp
from casola_ocr.tokens import Token
from casola_ocr.usage import counted

blueprint = Blueprint("admin", __name__, url_prefix="/api/v1/admin")
blueprint.before_request(authenticate)
blueprint.before_request(require_admin)


_Days = Annotated[float, Field(ge=0, le=36_500)]


class NewTenant(Body):
    """A tenant that is made."""

    model_config = example({"name": "acme", "retention_days": 30})

    name: str = Field(json_schema_extra={"pattern": f"^{TENANT_NAME}$"})
    retention_days: _Days | None = None
    """As of `Retention`."""


class Retention(Body):
    """What can be changed of a tenant."""

    model_config = example({"retention_days": 30})

    retention_days: _Days | None
    """0 keeps its jobs, null is as the service's setting."""


class NewToken(Body):
    """A token that is made."""

    model_config = example({"tenant": "acme", "label": "scanner"})

    tenant: str
    label: str = Field("", max_length=200)
    admin: bool = False


class Owner(Query):
    """Whose tokens are listed."""

    tenant: str | None = None


@blueprint.get("/tenants")
@Description("list_tenants", answers={200: Answer("The tenants.", shapes.Tenants)})
def tenants() -> ResponseReturnValue:
    """List tenants."""
    found = service().tenants
    body: shapes.Tenants = {"data": [_tenant(found.get(name)) for name in found.list()]}
    return body


@blueprint.post("/tenants")
@Description(
    "create_tenant",
    takes={JSON: NewTenant},
    answers={201: Answer("The tenant.", shapes.Tenant)},
    raises=(Conflict, Unprocessable),
)
@replayable
def create_tenant() -> ResponseReturnValue:
    """Make a tenant."""
    made = validated(NewTenant, json_object())
    found = service().tenants
    found.create(made.name)
    if made.retention_days is not None:
        found.set_retention(made.name, made.retention_days)
    return _tenant(found.get(made.name)), 201


@blueprint.patch("/tenants/<name>")
@Description(
    "change_tenant", takes={JSON: Retention}, answers={200: Answer("The tenant.", shapes.Tenant)}
)
def change_tenant(name: str) -> ResponseReturnValue:
    """Change how long a tenant's jobs are kept."""
    wanted = validated(Retention, json_object())
    found = service().tenants
    found.get(name)
    found.set_retention(name, wanted.retention_days)
    return _tenant(found.get(name))


@blueprint.get("/tokens")
@Description("list_tokens", query=Owner, answers={200: Answer("The tokens.", shapes.Tokens)})
def tokens() -> ResponseReturnValue:
    """List tokens, newest first; never what they are."""
    found = service().tokens.list(asked(Owner).tenant)
    body: shapes.Tokens = {"data": [_token(token) for token in reversed(found)]}
    return body


@blueprint.post("/tokens")
@Description(
    "create_token",
    takes={JSON: NewToken},
    answers={201: Answer("The one answer that ever holds the token.", shapes.FreshToken)},
    raises=(NotFound,),
)
def create_token() -> ResponseReturnValue:
    """Make a token.

    No `Idempotency-Key` is taken: the answer would have to be kept, and the token in it. Of a
    request whose answer was lost a token is left that nobody has; revoke it.
    """
    made = validated(NewToken, json_object())
    service().tenants.get(made.tenant)
    secret, token = service().tokens.create(made.tenant, made.label, admin=made.admin)
    body: shapes.FreshToken = {**_token(token), "token": secret}
    return body, 201, {"Cache-Control": "no-store"}


@blueprint.post("/tokens/<token_id>/revoke")
@Description("revoke_token", answers={200: Answer("The token.", shapes.Token)})
def revoke_token(token_id: str) -> ResponseReturnValue:
    """End a token; it stays listed."""
    return _token(service().tokens.revoke(token_id))


@blueprint.get("/usage")
@Description("get_usage", answers={200: Answer("What each tenant keeps.", shapes.Usage)})
def usage() -> ResponseReturnValue:
    """See what each tenant keeps."""
    return counted(service().store).to_dict()


def _tenant(tenant: Tenant) -> shapes.Tenant:
    return {
        "name": tenant.name,
        "created_at": timestamp(tenant.created_at),
        "retention_days": tenant.retention_days,
    }


def _token(token: Token) -> shapes.Token:
    return {
        "id": token.id,
        "tenant": token.tenant,
        "label": token.label,
        "admin": token.admin,
        "created_at": timestamp(token.created_at),
        "revoked_at": timestamp(token.revoked_at),
    }
