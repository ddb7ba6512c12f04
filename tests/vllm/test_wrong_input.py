"""Pages and prompts that no model likes, on the real vLLM: flagged or refused, and it goes on."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from casola_ocr.errors import ConfigurationError, Unprocessable
from casola_ocr.model import Wishes
from casola_ocr.pages import PageResult
from casola_ocr.prompts import checked_prompt
from tests.vllm.conftest import V1, V1_PAGE, settings
from workers.engines.deepseek import DeepSeekEngine
from workers.engines.transport import Request
from workers.engines.vllm_engine import InProcess

REQUEST = Request(image=V1_PAGE, wishes=Wishes(mode="text"), temperature=0.0, ngram=30, window=90)


def read(within: InProcess, image: Image.Image) -> PageResult:
    """Only the first rung of the ladder: half of the page's time is over at once."""
    engine = DeepSeekEngine(V1, within, page_seconds=0)
    return engine.read(image, page=1, attempt=1, language="auto")


def test_a_strip_of_twenty_thousand_pixels_is_read_and_flagged(within: InProcess) -> None:
    strip = Image.new("RGB", (20_000, 40), "white")
    strip.paste(V1_PAGE.resize((320, 40)), (9_000, 0))
    page = read(within, strip)
    assert "stretched" in page.flags
    assert page.tries[0].tokens > 0
    assert (page.width, page.height) == strip.size


def test_a_page_of_one_pixel_is_blank(within: InProcess) -> None:
    page = read(within, Image.new("RGB", (1, 1), "black"))
    assert page.flags == ("blank",)
    assert page.tries == ()


def test_noise_is_read_and_the_reading_not_believed(within: InProcess) -> None:
    noise = Image.frombytes("RGB", (320, 320), random.Random(0).randbytes(320 * 320 * 3))
    page = read(within, noise)
    assert "truncated" in page.flags
    assert page.confidence is not None and page.confidence <= 0.5


def test_a_page_that_needs_more_tokens_than_the_model_has_is_cut_and_flagged(
    within: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its own limit, no setting of ours, ends what has no end.
    monkeypatch.setattr(within, "_max_tokens", None)
    filling = checked_prompt("%~" * 860)
    generated = within.generate(replace(REQUEST, wishes=Wishes(prompt=filling)), None)
    assert generated.finish in ("length", "repetition")


def test_a_prompt_longer_than_the_model_is_refused_and_the_next_page_read(
    within: InProcess,
) -> None:
    with pytest.raises(Unprocessable):
        within.generate(replace(REQUEST, wishes=Wishes(prompt="%~" * 2000)), None)
    assert within.generate(REQUEST, None).starts


def test_a_prompt_with_special_tokens_is_read_without_them(within: InProcess) -> None:
    asked = checked_prompt("<image>Only the <|ref|>total<|/ref|><ima<image>ge>")
    assert asked == "Only the total"
    generated = within.generate(replace(REQUEST, wishes=Wishes(prompt=asked)), None)
    assert generated.starts


def test_a_prompt_begins_once_and_has_one_image(
    within: InProcess, checkpoint_v1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[int]] = []
    generate = within._engine.generate

    async def noted(*args: Any, **options: Any) -> AsyncIterator[Any]:
        async for output in generate(*args, **options):
            told.append(list(output.prompt_token_ids))
            yield output

    monkeypatch.setattr(within._engine, "generate", noted)
    assert within.generate(REQUEST, None).starts
    vocabulary = json.loads((checkpoint_v1 / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    begin, image = vocabulary["<｜begin▁of▁sentence｜>"], vocabulary["<image>"]
    (numbers,) = told
    assert numbers[0] == begin and begin not in numbers[1:]
    # The image's tokens stand together.
    places = [at for at, number in enumerate(numbers) if number == image]
    assert places == list(range(1, 1 + len(places)))
    assert len(places) > 1


def test_an_image_token_that_got_through_does_not_end_the_engine(within: InProcess) -> None:
    # vLLM takes it: nobody but us keeps it out.
    within.generate(replace(REQUEST, wishes=Wishes(prompt="<image>\nWho?")), None)
    assert within.alive()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('{"architectures": ["LlamaForCausalLM"]}', "is LlamaForCausalLM"),
        ('{"model_type": "llama"}', "has no config.json"),
        ("not JSON", "has no config.json"),
    ],
)
def test_a_folder_with_another_model_is_refused_before_anything_is_loaded(
    tmp_path: Path, config: str, said: str
) -> None:
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said):
        InProcess(V1, str(tmp_path), settings())


def test_what_calls_itself_deepseek_ocr_and_is_not_is_refused_in_one_line(
    tmp_path: Path, checkpoint_v1: Path
) -> None:
    config = json.loads((checkpoint_v1 / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="could not start the model"):
        InProcess(V1, str(tmp_path), settings())
