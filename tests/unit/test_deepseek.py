"""The ladder of the DeepSeek engine: which readings a page gets, and which one is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from PIL import Image

from casola_ocr.errors import ConfigurationError, EngineDied, EngineFailed
from casola_ocr.model import Wishes
from casola_ocr.pages import PageResult
from casola_ocr.testing import ScriptedEngine
from casola_ocr.text.generated import Finish, Generated
from tests.pages import draw_page
from workers.engines.base import Engine
from workers.engines.deepseek import DeepSeekEngine
from workers.engines.deepseek_model import END, IMAGE, REPEATABLE, Vocabulary
from workers.engines.transport import Request, Transport, decoded

PAGE = draw_page(["A page with a line", "and with another one"], width=600).convert("RGB")
SOUND = "A page with a line\nand with another one"


def generated(text: str, finish: Finish = "stop", logprob: float = -0.01) -> Generated:
    """One token a character."""
    count = len(text)
    return Generated(
        text=text,
        starts=range(count),
        logprobs=[logprob] * count,
        ranks=[1] * count,
        finish=finish,
    )


CUT = generated("A page with", "length", -0.2)
WORSE = generated("A page", "length", -2.0)


class ScriptedTransport(Transport):
    """Answers in turn, and keeps what it was asked."""

    version = "scripted"

    def __init__(self, *answers: Generated | Exception):
        super().__init__()
        self._answers = list(answers)
        self.asked: list[Request] = []

    async def _generate(self, request: Request) -> Generated:
        self.asked.append(request)
        answer = self._answers[min(len(self.asked), len(self._answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Nothing was loaded."""


def read(
    transport: Transport,
    wishes: Wishes = Wishes(),
    *,
    image: Image.Image = PAGE,
    page_seconds: float = 60,
    fallback: Callable[[], Engine] | None = None,
    name: str = "deepseek-ocr",
) -> PageResult:
    engine = DeepSeekEngine(name, transport, page_seconds=page_seconds, fallback=fallback)
    return engine.read(image, page=3, attempt=2, language="auto", wishes=wishes)


def test_a_page_that_can_be_trusted_is_read_once() -> None:
    transport = ScriptedTransport(generated(SOUND))
    page = read(transport)
    assert page.text == SOUND
    assert (page.page, page.attempts, page.engine_version) == (3, 2, "scripted")
    assert [(each.how, each.flags) for each in page.tries] == [("n-gram 30/90", ())]
    assert page.tries[0].tokens == len(SOUND)
    assert page.confidence == pytest.approx(0.99, abs=0.01)


def test_a_page_that_cannot_is_read_again_until_it_can() -> None:
    transport = ScriptedTransport(CUT, CUT, generated(SOUND))
    page = read(transport)
    assert page.text == SOUND
    assert "truncated" not in page.flags
    assert [each.how for each in page.tries] == [
        "n-gram 30/90", "n-gram 20/90", "n-gram 20/90, text only",
    ]  # fmt: skip
    assert [each.flags for each in page.tries] == [("truncated",), ("truncated",), ()]
    assert [request.wishes.mode for request in transport.asked] == ["document", "document", "text"]


def test_the_best_of_bad_readings_is_kept_and_flagged() -> None:
    transport = ScriptedTransport(WORSE, CUT, WORSE)
    page = read(transport)
    assert page.text == "A page with"
    assert "truncated" in page.flags
    assert page.confidence is not None and page.confidence <= 0.5
    assert len(page.tries) == 5
    assert [request.temperature for request in transport.asked] == [0, 0, 0, 0.2, 0.4]


def test_no_other_reading_begins_when_half_of_a_pages_time_is_over() -> None:
    assert len(read(ScriptedTransport(CUT), page_seconds=0).tries) == 1


def test_who_wants_text_only_is_not_shown_the_same_rung_twice() -> None:
    transport = ScriptedTransport(CUT)
    read(transport, Wishes(mode="text"))
    settings = [(request.ngram, request.temperature) for request in transport.asked]
    assert len(settings) == len(set(settings))
    assert {request.wishes.mode for request in transport.asked} == {"text"}


@pytest.mark.parametrize("wishes", [Wishes(prompt="Which total?"), Wishes(mode="figure")])
def test_who_asks_for_something_else_gets_nothing_but_that(wishes: Wishes) -> None:
    transport = ScriptedTransport(CUT)
    read(transport, wishes)
    assert {request.wishes for request in transport.asked} == {wishes}


def test_another_engine_reads_the_page_only_where_that_is_allowed() -> None:
    made: list[Engine] = []

    def cpu() -> Engine:
        made.append(ScriptedEngine(text="read elsewhere"))
        return made[0]

    page = read(ScriptedTransport(CUT), fallback=cpu)
    assert page.engine == "deepseek-ocr" and not made
    page = read(ScriptedTransport(CUT), Wishes(fallback=True), fallback=cpu)
    assert page.text == "read elsewhere"
    assert page.flags[0] == "fallback"
    assert [each.how for each in page.tries][-1] == "fallback"
    assert len(page.tries) == 6


def test_what_was_read_stays_when_the_other_engine_fails() -> None:
    def cpu() -> Engine:
        raise EngineFailed("no weights")

    page = read(ScriptedTransport(CUT), Wishes(fallback=True), fallback=cpu)
    assert page.text == "A page with"
    assert "fallback" not in page.flags


@pytest.mark.parametrize("size", [(800, 600), (1, 1), (3, 5000)])
def test_a_page_with_nothing_on_it_does_not_reach_the_model(size: tuple[int, int]) -> None:
    transport = ScriptedTransport(generated("an invention"))
    page = read(transport, image=Image.new("RGB", size, "white"))
    assert page.flags == ("blank",)
    assert not transport.asked


@pytest.mark.parametrize(("name", "side"), [("deepseek-ocr", 640), ("deepseek-ocr-v2", 768)])
def test_the_model_gets_no_more_pixels_than_its_tiles_have(name: str, side: int) -> None:
    transport = ScriptedTransport(generated(SOUND))
    large = PAGE.resize((3000, 4200))
    page = read(transport, image=large, name=name)
    width, height = transport.asked[0].image.size
    assert width * height <= 6 * side**2 * 1.01
    assert width / height == pytest.approx(3000 / 4200, rel=0.01)
    assert (page.width, page.height) == (3000, 4200)


def test_a_long_strip_is_read_and_flagged() -> None:
    strip = Image.new("RGB", (20_000, 60), "white")
    strip.paste(PAGE.resize((600, 60)), (0, 0))
    assert "stretched" in read(ScriptedTransport(generated(SOUND)), image=strip).flags


def test_a_dead_model_is_told_from_a_failed_page() -> None:
    with pytest.raises(EngineDied):
        read(ScriptedTransport(EngineDied()))


def test_letters_of_several_bytes_belong_to_the_token_that_ends_them() -> None:
    assert decoded([b"K\xc3", b"\xa4", b"se"]) == ("Käse", [0, 1, 2])
    assert decoded([b"\xff", b"a"]) == ("\ufffda", [0, 1])
    assert decoded([]) == ("", [])
    assert decoded([b"a\xe2\x82"]) == ("a\ufffd", [0])


class ByteTokenizer:
    """One token a byte, as byte-level BPE writes it, and the special ones."""

    def __init__(
        self, special: Sequence[str], *, loses_spaces: bool = False, begin: int | None = 0
    ):
        self._loses_spaces = loses_spaces
        self.bos_token_id = begin
        others = [b for b in range(256) if not (0x21 <= b < 0x7F or 0xA1 <= b < 0xAD or b >= 0xAE)]
        letters = [chr(256 + others.index(b)) if b in others else chr(b) for b in range(256)]
        self._added = {token: 256 + at for at, token in enumerate(special)}
        self._vocabulary = {letter: at for at, letter in enumerate(letters)} | self._added

    def get_added_vocab(self) -> dict[str, int]:
        return self._added

    def get_vocab(self) -> dict[str, int]:
        return self._vocabulary

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return list((text.replace(" ", "") if self._loses_spaces else text).encode())


def test_tokens_are_known_by_name_and_their_bytes_by_number() -> None:
    vocabulary = Vocabulary(ByteTokenizer([IMAGE, END, *REPEATABLE]))
    assert vocabulary.end == 257
    assert vocabulary.repeatable == [258, 259]
    assert vocabulary.bytes_of(ord(" ")) == b" "
    assert vocabulary.bytes_of(0xE4) == b"\xe4"
    assert vocabulary.bytes_of(258) == b"<td>"
    assert vocabulary.bytes_of(99_999) == b""


def test_a_prompt_begins_as_the_model_learned_it() -> None:
    vocabulary = Vocabulary(ByteTokenizer([IMAGE, END], begin=7))
    assert vocabulary.begun("Hi") == [7, ord("H"), ord("i")]


def test_a_tokenizer_that_loses_spaces_or_lacks_a_token_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="begins a text"):
        Vocabulary(ByteTokenizer([IMAGE, END], begin=None))
    with pytest.raises(ConfigurationError, match="does not give back"):
        Vocabulary(ByteTokenizer([IMAGE, END], loses_spaces=True))
    with pytest.raises(ConfigurationError, match="no token <image>"):
        Vocabulary(ByteTokenizer([END]))
