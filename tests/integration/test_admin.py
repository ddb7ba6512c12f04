"""/api/v1/admin: tenants, tokens and usage, for admins' tokens alone."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from casola_ocr import usage
from casola_ocr.objects import keys
from tests.world import World, tiff

pytestmark = pytest.mark.valkey

ROUTES = [
    ("GET", "/tenants"),
    ("POST", "/tenants"),
    ("PATCH", "/tenants/acme"),
    ("GET", "/tokens"),
    ("POST", "/tokens"),
    ("POST", "/tokens/x/revoke"),
    ("GET", "/usage"),
]


@pytest.fixture
def client(world: World) -> FlaskClient:
    return create_app(world.settings, world.service).test_client()


@pytest.fixture
def admin(world: World) -> dict[str, str]:
    world.service.tenants.create("ops")
    secret, _ = world.service.tokens.create("ops", "mine", admin=True)
    return {"Authorization": f"Bearer {secret}"}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def ask(client: FlaskClient, admin: dict[str, str], method: str, path: str, **body: Any) -> Any:
    return client.open(
        f"/api/v1/admin{path}", method=method, headers=admin, json=body if body else None
    )


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_tenants_token_is_refused(
    client: FlaskClient, world: World, admin: dict[str, str], method: str, path: str
) -> None:
    secret, _ = world.service.tokens.create("ops")
    answer = client.open(f"/api/v1/admin{path}", method=method, headers=bearer(secret), json={})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_comes_in_without_a_token(
    client: FlaskClient, admin: dict[str, str], method: str, path: str
) -> None:
    assert client.open(f"/api/v1/admin{path}", method=method, json={}).status_code == 401


def test_a_tenant_is_made_listed_and_changed(client: FlaskClient, admin: dict[str, str]) -> None:
    made = ask(client, admin, "POST", "/tenants", name="acme", retention_days=30)
    assert (made.status_code, made.get_json()["retention_days"]) == (201, 30)
    found = ask(client, admin, "GET", "/tenants").get_json()["data"]
    assert [tenant["name"] for tenant in found] == ["acme", "ops"]
    for days in (0, None):
        changed = client.patch(
            "/api/v1/admin/tenants/acme", headers=admin, json={"retention_days": days}
        )
        assert changed.get_json()["retention_days"] == days


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "Acme Ltd."}, 422),
        ({"name": "../x"}, 422),
        ({"name": "ops"}, 409),
        ({"name": "acme", "retention_days": -1}, 400),
        ({"name": "acme", "retention_days": "30"}, 400),
        ({"name": "acme", "owner": "me"}, 400),
        ({}, 400),
    ],
)
def test_a_tenant_that_cannot_be_is_refused(
    client: FlaskClient, admin: dict[str, str], body: dict[str, Any], status: int
) -> None:
    answer = client.post("/api/v1/admin/tenants", headers=admin, json=body)
    assert answer.status_code == status


@pytest.mark.parametrize("name", ["nobody", "..", "A%2FB"])
def test_an_unknown_tenant_is_not_changed(
    client: FlaskClient, admin: dict[str, str], name: str
) -> None:
    answer = client.patch(
        f"/api/v1/admin/tenants/{name}", headers=admin, json={"retention_days": 1}
    )
    assert answer.status_code == 404


def test_a_token_is_told_once_and_works(client: FlaskClient, admin: dict[str, str]) -> None:
    made = ask(client, admin, "POST", "/tokens", tenant="ops", label="scanner")
    secret = made.get_json()["token"]
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    assert client.get("/api/v1/library", headers=bearer(secret)).status_code == 200
    listed = ask(client, admin, "GET", "/tokens")
    assert secret not in listed.get_data(as_text=True)
    newest = listed.get_json()["data"][0]
    assert (newest["label"], newest["admin"], newest["revoked_at"]) == ("scanner", False, None)


def test_a_revoked_token_ends_and_stays_listed(
    client: FlaskClient, admin: dict[str, str], world: World
) -> None:
    made = ask(client, admin, "POST", "/tokens", tenant="ops").get_json()
    told = ask(client, admin, "POST", f"/tokens/{made['id']}/revoke")
    assert told.get_json()["revoked_at"]
    assert client.get("/api/v1/library", headers=bearer(made["token"])).status_code == 401
    listed = ask(client, admin, "GET", "/tokens").get_json()["data"]
    assert next(each for each in listed if each["id"] == made["id"])["revoked_at"]


def test_revoking_twice_tells_the_first_time(client: FlaskClient, admin: dict[str, str]) -> None:
    made = ask(client, admin, "POST", "/tokens", tenant="ops").get_json()
    first = ask(client, admin, "POST", f"/tokens/{made['id']}/revoke").get_json()
    assert ask(client, admin, "POST", f"/tokens/{made['id']}/revoke").get_json() == first


@pytest.mark.parametrize(
    ("body", "status"),
    [({"tenant": "nobody"}, 404), ({"tenant": "ops", "admin": "yes"}, 400), ({"label": "x"}, 400)],
)
def test_a_token_that_cannot_be_is_refused(
    client: FlaskClient, admin: dict[str, str], body: dict[str, Any], status: int
) -> None:
    assert client.post("/api/v1/admin/tokens", headers=admin, json=body).status_code == status


def test_tokens_of_one_tenant_are_listed(client: FlaskClient, admin: dict[str, str]) -> None:
    ask(client, admin, "POST", "/tenants", name="acme")
    ask(client, admin, "POST", "/tokens", tenant="acme", label="theirs")
    answer = client.get("/api/v1/admin/tokens?tenant=acme", headers=admin).get_json()
    assert [token["label"] for token in answer["data"]] == ["theirs"]


def test_usage_is_unknown_until_the_reconciler_has_counted(
    client: FlaskClient, admin: dict[str, str], world: World
) -> None:
    assert ask(client, admin, "GET", "/usage").get_json() == {"counted_at": None, "data": []}
    world.submit_one()
    world.submit_one(tiff(3))
    world.settle()
    world.reconcile()
    told = ask(client, admin, "GET", "/usage").get_json()
    (acme,) = [each for each in told["data"] if each["tenant"] == "acme"]
    assert (acme["jobs"], acme["pages"], acme["files"]) == (2, 4, 0)
    assert acme["bytes"] == sum(size for _, size in world.store.sizes("tenants/acme/"))
    assert told["counted_at"]


def test_a_tenant_sees_what_itself_keeps_without_being_admin(
    client: FlaskClient, world: World
) -> None:
    world.service.tenants.create("acme")
    world.service.tenants.create("other")
    own = bearer(world.service.tokens.create("acme")[0])
    others = bearer(world.service.tokens.create("other")[0])
    nothing = {"counted_at": None, "jobs": 0, "pages": 0, "files": 0, "bytes": 0}
    assert client.get("/api/v1/usage", headers=own).get_json() == nothing
    world.submit_one(tiff(3))
    world.settle()
    world.reconcile()
    told = client.get("/api/v1/usage", headers=own).get_json()
    assert (told["jobs"], told["pages"], told["files"]) == (1, 3, 0)
    assert told["bytes"] == sum(size for _, size in world.store.sizes("tenants/acme/"))
    assert told["counted_at"]
    told = client.get("/api/v1/usage", headers=others).get_json()
    assert (told["jobs"], told["pages"], told["files"]) == (0, 0, 0)
    assert told["bytes"] == sum(size for _, size in world.store.sizes("tenants/other/"))
    assert client.get("/api/v1/usage").status_code == 401


def test_what_was_deleted_is_not_counted(world: World) -> None:
    request_id = world.submit_one()
    world.settle()
    world.jobs.delete("acme", request_id)
    assert list(usage.count(world.store)) == []
    assert usage.counted(world.store).tenants == {}


def test_a_second_attempt_counts_no_second_page(world: World) -> None:
    request_id = world.submit_one()
    world.settle()
    world.store.put(keys.page_result("acme", request_id, 1, "2-99"), b"{}")
    list(usage.count(world.store))
    assert usage.counted(world.store).tenants["acme"].pages == 1
