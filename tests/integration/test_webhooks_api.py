"""GET /api/v1/jobs/{id}/deliveries, replays, the secret, and fal's public keys."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from typer.testing import CliRunner

from api.app import create_app
from casola_ocr import cli
from casola_ocr.objects.directory import DirectoryStore
from casola_ocr.tenants import Tenants
from casola_ocr.webhooks.secrets import Secrets
from tests.receiver import Receiver
from tests.world import PNG, World, open_world


@pytest.fixture
def world(valkey: str) -> Iterator[World]:
    with open_world(valkey, fetch_allow_networks=("127.0.0.1/32",)) as made:
        yield made


@pytest.fixture
def client(world: World) -> FlaskClient:
    made = create_app(world.settings, world.service).test_client()
    for tenant in ("acme", "other"):
        world.service.tenants.create(tenant)
    secret, _ = world.service.tokens.create("acme")
    made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    return made


def other(world: World) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.service.tokens.create('other')[0]}"}


def submit(client: FlaskClient, world: World, url: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    answer = client.post("/api/v1/jobs", json={"url": source, "webhook_url": url})
    assert answer.status_code == 202, answer.data
    world.run()
    request_id: str = answer.get_json()["request_id"]
    return request_id


def deliver(world: World) -> None:
    for due in world.records.schedule.take(9, lease_ms=1, per_host=9, per_tenant=9, held={}):
        world.service.deliveries.deliver(due)


def test_the_deliveries_of_a_job_tell_each_try(
    client: FlaskClient, world: World, receiver: Receiver
) -> None:
    request_id = submit(client, world, f"{receiver.base}/500?secret=1")
    path = f"/api/v1/jobs/{request_id}/deliveries"
    (pending,) = client.get(path).get_json()["data"]
    assert pending["status"] == "pending" and pending["tries"] == []
    deliver(world)
    answer = client.get(path)
    (found,) = answer.get_json()["data"]
    assert (found["request_id"], found["run"], found["host"]) == (request_id, 1, "127.0.0.1")
    assert found["event"] == "job.completed"
    assert found["status"] == "pending" and found["next_try_at"].endswith("Z")
    (tried,) = found["tries"]
    assert tried["status_code"] == 500 and tried["error"] is None and tried["at"].endswith("Z")
    # The URL may hold a secret of the receiver's.
    assert b"secret" not in answer.data


def test_a_job_without_a_webhook_has_no_deliveries(client: FlaskClient, world: World) -> None:
    request_id = world.submit_one()
    world.run()
    assert client.get(f"/api/v1/jobs/{request_id}/deliveries").get_json() == {"data": []}


def test_deliveries_of_an_unknown_or_foreign_job_are_not_found(
    client: FlaskClient, world: World, receiver: Receiver
) -> None:
    request_id = submit(client, world, f"{receiver.base}/ok")
    path = f"/api/v1/jobs/{request_id}/deliveries"
    headers = other(world)
    assert client.get(path, headers=headers).status_code == 404
    delivery_id = client.get(path).get_json()["data"][0]["delivery_id"]
    assert client.post(f"{path}/{delivery_id}/replay", headers=headers).status_code == 404
    assert client.post(f"{path}/msg_x/replay").status_code == 404
    assert client.get("/api/v1/jobs/nothing/deliveries").status_code == 404


def test_a_replay_is_accepted_and_sent(
    client: FlaskClient, world: World, receiver: Receiver
) -> None:
    request_id = submit(client, world, f"{receiver.base}/ok")
    deliver(world)
    path = f"/api/v1/jobs/{request_id}/deliveries"
    (found,) = client.get(path).get_json()["data"]
    assert found["status"] == "delivered"
    answer = client.post(f"{path}/{found['delivery_id']}/replay")
    assert answer.status_code == 202 and answer.get_json()["status"] == "pending"
    deliver(world)
    assert len(receiver.received) == 2
    assert client.get(path).get_json()["data"][0]["status"] == "delivered"


def test_a_webhook_to_a_private_address_is_refused_when_it_is_submitted(
    client: FlaskClient, world: World
) -> None:
    answer = client.post(
        "/api/v1/jobs", json={"url": "data:,x", "webhook_url": "http://10.0.0.1/hook"}
    )
    assert answer.status_code == 400 and answer.get_json()["code"] == "malformed_request"
    assert "webhook" in answer.get_json()["detail"] and not world.inflight()


def test_the_secret_is_made_once_and_never_cached(client: FlaskClient, world: World) -> None:
    answer = client.get("/api/v1/webhooks/secret")
    body = answer.get_json()
    assert body["secret"].startswith("whsec_") and body["previous"] == []
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.get("/api/v1/webhooks/secret").get_json() == body
    foreign = client.get("/api/v1/webhooks/secret", headers=other(world)).get_json()
    assert foreign["secret"] != body["secret"]


def test_rotating_tells_until_when_the_old_secret_signs(client: FlaskClient) -> None:
    before = client.get("/api/v1/webhooks/secret").get_json()["secret"]
    rotated = client.post("/api/v1/webhooks/secret/rotate", json={"keep_hours": 2}).get_json()
    assert rotated["secret"] != before and len(rotated["previous"]) == 1
    assert rotated["previous"][0]["expires_at"] > rotated["created_at"]
    assert client.get("/api/v1/webhooks/secret").get_json() == rotated
    at_once = client.post("/api/v1/webhooks/secret/rotate", json={"keep_hours": 0}).get_json()
    assert at_once["previous"] == []
    assert client.post("/api/v1/webhooks/secret/rotate").status_code == 200


def test_no_secret_is_kept_to_be_answered_again(client: FlaskClient, world: World) -> None:
    headers = {"Idempotency-Key": "k"}
    answer = client.post("/api/v1/webhooks/secret/rotate", headers=headers)
    assert answer.headers["Cache-Control"] == "no-store"
    assert list(world.store.list("answers/")) == []


@pytest.mark.parametrize("body", [{"keep_hours": -1}, {"keep_hours": "2"}, {"days": 1}])
def test_a_rotation_that_cannot_be_is_refused(client: FlaskClient, body: object) -> None:
    assert client.post("/api/v1/webhooks/secret/rotate", json=body).status_code == 400


def test_the_secret_needs_a_token_and_the_public_keys_do_not(client: FlaskClient) -> None:
    nobody = {"Authorization": ""}
    assert client.get("/api/v1/webhooks/secret", headers=nobody).status_code == 401
    answer = client.get("/.well-known/jwks.json", headers=nobody)
    assert answer.status_code == 200
    (key,) = answer.get_json()["keys"]
    assert (key["kty"], key["crv"]) == ("OKP", "Ed25519") and len(key["x"]) == 43
    assert "d" not in key
    assert client.get("/.well-known/jwks.json").get_json()["keys"] == [key]


def test_the_command_line_shows_and_rotates_the_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setenv("CASOLA_DATA_DIR", str(tmp_path))
    store = DirectoryStore(tmp_path / "objects")
    Tenants(store).create("acme")

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli.app, ["webhooks", *words])
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    shown = run("secret", "--tenant", "acme")
    assert shown == Secrets(store).valid("acme")[0].secret
    rotated = run("rotate", "--tenant", "acme", "--keep-hours", "1")
    assert [one.secret for one in Secrets(store).valid("acme")] == [rotated, shown]
    refused = CliRunner().invoke(cli.app, ["webhooks", "secret", "--tenant", "nobody"])
    assert refused.exit_code != 0
