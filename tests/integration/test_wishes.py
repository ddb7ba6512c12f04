"""What a job wishes of an engine, from its submission to the engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from casola_ocr.errors import MalformedRequest
from casola_ocr.model import Lane, Manifest, Wishes
from casola_ocr.objects import keys
from casola_ocr.testing import ScriptedEngine
from tests.world import World

pytestmark = pytest.mark.valkey


@pytest.fixture
def engine(world: World) -> ScriptedEngine:
    """The engine `deepseek-ocr`, live."""
    made = world.others["deepseek-ocr"] = ScriptedEngine("deepseek-ocr", "the total")
    world.announce()
    return made


@pytest.mark.parametrize(
    ("options", "wishes"),
    [
        ({"model": "deepseek-ocr"}, Wishes(lane=Lane.INTERACTIVE)),
        (
            {"model": "deepseek-ocr", "mode": "figure", "fallback": True, "lane": Lane.BULK},
            Wishes(mode="figure", fallback=True),
        ),
        (
            {"mode": "text", "prompt": " <image>Only\nthe <|ref|>total<|/ref|> "},
            Wishes(mode="text", prompt="Only\nthe total", lane=Lane.INTERACTIVE, fallback=True),
        ),
        ({"prompt": "<image>\n<|grounding|>"}, Wishes(lane=Lane.INTERACTIVE, fallback=True)),
    ],
    ids=["nothing", "mode", "prompt", "nothing left of the prompt"],
)
def test_what_a_job_wishes_reaches_its_engine(
    world: World, engine: ScriptedEngine, options: dict[str, Any], wishes: Wishes
) -> None:
    request_id = world.submit_one(**options)
    world.run()
    assert engine.wishes == [wishes]
    told = world.result(request_id)
    assert (told["mode"], told["prompt"]) == (wishes.mode, wishes.prompt or None)
    assert told["fallback"] == options.get("fallback", False), "as it was asked, like the model"


def test_wishes_outlive_the_records_while_a_job_waits_and_after_it_ended(
    world: World, engine: ScriptedEngine
) -> None:
    request_id = world.submit_one(mode="figure", prompt="Only the total", fallback=True)
    before = world.jobs.get("acme", request_id)
    assert (before.mode, before.prompt, before.fallback) == ("figure", "Only the total", True)
    world.wipe()
    world.recover()
    world.run()
    assert [wishes.prompt for wishes in engine.wishes] == ["Only the total"]
    world.wipe()
    after = world.jobs.get("acme", request_id)
    assert (after.mode, after.prompt, after.fallback) == ("figure", "Only the total", True)


def test_a_manifest_from_before_there_were_wishes_has_none(world: World) -> None:
    request_id = world.submit_one()
    key = keys.manifest("acme", request_id)
    stored = json.loads(world.store.get(key))
    for name in ("mode", "prompt", "fallback"):
        del stored[name]
    found = Manifest.from_json(json.dumps(stored).encode())
    assert (found.mode, found.prompt, found.fallback) == ("document", "", False)
    world.run()


@pytest.mark.parametrize(
    ("wishes", "field"),
    [
        ({"mode": "figure"}, "mode"),
        ({"mode": ""}, "mode"),
        ({"prompt": "Only the total"}, "prompt"),
        ({"prompt": "x" * 2001}, "prompt"),
        ({"prompt": "a\0b"}, "prompt"),
    ],
)
def test_what_no_live_engine_can_be_told_is_refused_before_anything_is_kept(
    world: World, wishes: dict[str, str], field: str
) -> None:
    with pytest.raises(MalformedRequest) as caught:
        world.submit_one(**wishes)
    assert caught.value.field == field
    assert world.inflight() == []


def test_the_endpoint_that_made_a_job_outlives_the_records_too(world: World) -> None:
    request_id = world.submit_one(origin="fal:fal-ai/got-ocr/v2")
    told = [world.jobs.get("acme", request_id).origin]
    world.wipe()
    told.append(world.jobs.get("acme", request_id).origin)
    world.recover()
    world.run()
    told.append(world.jobs.get("acme", request_id).origin)
    world.wipe()
    told.append(world.jobs.get("acme", request_id).origin)
    assert told == ["fal:fal-ai/got-ocr/v2"] * 4
    assert world.result(request_id)["origin"] == "fal:fal-ai/got-ocr/v2"
