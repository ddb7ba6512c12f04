from __future__ import annotations

import io
import json
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from casola_ocr.engines import choose_engine
from casola_ocr.errors import (
    ConfigurationError,
    EngineFailed,
    UnknownLanguage,
)
from casola_ocr.pages import PageResult
from casola_ocr.records import Records
from casola_ocr.sample import sample_image, sample_text
from casola_ocr.text.counts import count_words
from tests.pages import cer, draw_page, load_font
from workers.engines import installed_engines, make_engine
from workers.engines.base import Engine
from workers.engines.golden import prove
from workers.engines.ppocr_detect import LeanDetector

pytest.importorskip("rapidocr")


# For the session: once one of two is freed, OpenVINO (on processors with AMX) leaves a freed stack
# for signal handlers behind, and the next signal that Python handles ends the process.
@pytest.fixture(scope="session")
def engine() -> Engine:
    return make_engine("pp-ocrv6", 2)


def read(engine: Engine, image: Image.Image) -> PageResult:
    return engine.read(image, page=3, attempt=2, language="auto")


def check_shape(result: PageResult) -> None:
    """What holds for every page, whatever is on it."""
    for line in result.lines:
        for box in (line.box, *(word.box for word in line.words if word.box)):
            assert 0 <= box[0] < box[2] <= result.width
            assert 0 <= box[1] < box[3] <= result.height
            assert all(type(value) is int for value in box)
        assert line.confidence is not None and 0 <= line.confidence <= 1
        at = 0
        for word in line.words:
            assert word.start >= at
            at = word.start + len(word.text)
            assert line.text[word.start : at] == word.text
            assert word.confidence is None or 0 <= word.confidence <= 1
        spoken = "".join(word.text for word in line.words)
        assert spoken == "".join(line.text.split())
    assert result.words == count_words(result.text)
    assert json.loads(result.to_json())["words"] == result.words


@pytest.fixture(scope="module")
def sample(engine: Engine) -> PageResult:
    with Image.open(io.BytesIO(sample_image())) as picture:
        return read(engine, picture.convert("RGB"))


def test_it_is_installed_and_named(engine: Engine) -> None:
    assert "pp-ocrv6" in installed_engines()
    assert engine.name == "pp-ocrv6"
    assert engine.version.startswith("rapidocr 3.")
    assert engine.version.endswith("PP-OCRv6 small")


def test_unknown_engine() -> None:
    with pytest.raises(ConfigurationError, match="pp-ocrv6"):
        make_engine("telepathy", 1)


def test_it_leaves_logging_to_the_service(engine: Engine) -> None:
    assert logging.getLogger("RapidOCR").handlers == []


def test_sample(sample: PageResult) -> None:
    check_shape(sample)
    truth, found = Counter(sample_text().split()), Counter(sample.text.split())
    assert (truth & found).total() >= 0.95 * truth.total()
    assert cer(sample_text(), sample.text) < 0.02
    assert "Total: $250.00" in sample.text.splitlines()
    assert (sample.width, sample.height) == (1000, 700)
    assert (sample.page, sample.attempts, sample.language, sample.flags) == (3, 2, "en", ())
    assert sample.confidence is not None and sample.confidence > 0.9
    assert sample.confidence_raw is not None and sample.confidence_raw > sample.confidence
    assert sample.confidence_low is not None and 0.5 < sample.confidence_low < 1
    assert sample.seconds > 0


def test_words_have_boxes_in_order_and_their_own_confidence(sample: PageResult) -> None:
    words = [word for line in sample.lines for word in line.words]
    assert all(word.box and word.confidence is not None for word in words)
    for line in sample.lines:
        lefts = [word.box[0] for word in line.words if word.box]
        assert lefts == sorted(lefts)
        for word in line.words:
            assert word.box is not None
            assert word.box[0] >= line.box[0] - 5 and word.box[2] <= line.box[2] + 5


def test_a_smudged_word_is_the_unsure_one(engine: Engine) -> None:
    # RapidOCR itself gives a word the confidence of the character with the word's number.
    image = draw_page(["Clear words before the smudged thing"], font_size=40)
    sure = read(engine, image)
    assert [word.text for word in sure.lines[0].words][-1] == "thing"
    left, top, right, bottom = sure.lines[0].words[-1].box or (0, 0, 0, 0)
    draw = ImageDraw.Draw(image)
    for x in range(left, right, 9):
        draw.line((x, top, x + 6, bottom), fill="black", width=3)
    words = [word for line in read(engine, image).lines for word in line.words]
    first = words[0]
    assert first.text == "Clear" and first.confidence is not None and first.confidence > 0.95
    later = [word.confidence for word in words[5:] if word.confidence is not None]
    assert not later or min(later) < first.confidence


def test_prove(engine: Engine) -> None:
    assert prove(engine) > 0


def test_prove_refuses_an_engine_that_does_not_read(sample: PageResult) -> None:
    class Blind:
        name = "blind"
        version = "0"

        def read(self, image: Image.Image, *, page: int, attempt: int, language: str) -> PageResult:
            return replace(sample, text="Invoice #12345")

    with pytest.raises(EngineFailed, match="blind"):
        prove(Blind())


def test_the_image_is_not_modified(engine: Engine) -> None:
    image = draw_page(["Untouched"], width=500)
    before = image.tobytes()
    read(engine, image)
    assert image.tobytes() == before


@pytest.mark.parametrize("size", [(1, 1), (4, 400), (6, 6), (300, 300), (20, 1000), (3000, 40)])
def test_nothing_to_read(engine: Engine, size: tuple[int, int]) -> None:
    result = read(engine, Image.new("RGB", size, "white"))
    check_shape(result)
    assert (result.text, result.words, result.lines) == ("", 0, ())
    assert (result.confidence, result.confidence_low) == (None, None)
    assert result.flags == ("blank",)
    assert (result.width, result.height) == size


def test_a_strip_of_text_is_read_where_it_stands(engine: Engine) -> None:
    image = Image.new("RGB", (3000, 60), "white")
    ImageDraw.Draw(image).text((2200, 8), "Far right", "black", load_font("DejaVuSans", 40))
    result = read(engine, image)
    check_shape(result)
    assert result.text == "Far right"
    assert 2100 < result.lines[0].box[0] < 2300
    assert result.seconds < 20


@pytest.mark.parametrize("size", [(20000, 20), (20, 20000)])
def test_a_strip_without_text_is_blank(engine: Engine, size: tuple[int, int]) -> None:
    result = read(engine, Image.new("RGB", size, "white"))
    assert (result.width, result.height) == size
    assert result.flags == ("blank",)


def test_every_line_of_a_very_long_screenshot_is_read_once(engine: Engine) -> None:
    lines = [f"Message number {n} of this chat" for n in range(75)]
    result = read(engine, draw_page(lines, width=800, font_size=30))
    check_shape(result)
    assert result.height > 3600
    assert result.text.splitlines() == lines


def test_a_failing_model_is_an_engine_failure(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine, "_recogniser", fail)
    with pytest.raises(EngineFailed) as caught:
        read(engine, draw_page(["text"], width=300))
    assert "memory" not in caught.value.detail


def test_upside_down(engine: Engine) -> None:
    image = draw_page(["Turned around"], width=600).rotate(180)
    assert "Turned around" in read(engine, image).text


def test_two_columns(engine: Engine) -> None:
    image = Image.new("RGB", (1100, 420), "white")
    draw = ImageDraw.Draw(image)
    left = [
        "The first column of this",
        "page is read before the",
        "second one, which is to",
        "the right of it here.",
    ]
    right = [
        "Now the second column is",
        "read, after the first one",
        "came to its end, as any",
        "reader would do it too.",
    ]
    for x, rows in ((50, left), (600, right)):
        for row, text in enumerate(rows):
            draw.text((x, 50 + 60 * row), text, "black", load_font("DejaVuSans", 32))
    result = read(engine, image)
    check_shape(result)
    assert cer("\n".join(left + right), result.text) < 0.03


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "limit"),
    [
        # Measured: see benchmarks/accuracy.py; the limits leave some room for other processors.
        ("receipt-005-en", 0.03),
        ("form-001-en", 0.05),
        ("multi-column-004-en", 0.05),
        ("table-004-de", 0.03),
        ("screenshot-003-ja", 0.02),
    ],
)
def test_corpus(engine: Engine, corpus: Path, name: str, limit: float) -> None:
    rows = (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entry = next(row for row in map(json.loads, rows) if f"/{name}." in row["file"])
    with Image.open(corpus / entry["file"]) as picture:
        result = read(engine, ImageOps.exif_transpose(picture).convert("RGB"))
    check_shape(result)
    texts = [(corpus / entry["text"]).read_text(encoding="utf-8"), result.text]
    texts = [text.replace("-\n", "") for text in texts]
    if entry.get("case_insensitive"):
        texts = [text.upper() for text in texts]
    if entry["language"] in ("ja", "ko", "zh"):
        texts = ["".join(text.split()) for text in texts]
    assert cer(*texts) <= limit


#: Letters beyond a to z; both cases are looked for.
ALPHABETS = {
    "az": "çəğıöşü", "ca": "àçèéíïòóúü", "cs": "áčďéěíňóřšťúůýž", "cy": "âêîôûŵŷ", "da": "æøå",
    "de": "äöüß", "eo": "ĉĝĥĵŝŭ", "es": "áéíñóúü", "et": "äõöüšž", "fr": "àâæçèéêëîïôœùûüÿ",
    "hu": "áéíóöőúüű", "is": "áðéíóúýþæö", "ja": "あアカガパ日本語", "ku": "çêîşû",
    "lt": "ąčęėįšųūž", "lv": "āčēģīķļņšūž", "mi": "āēīōū", "mt": "ċġħż", "pl": "ąćęłńóśźż",
    "pt": "áâãàçéêíóôõú", "ro": "ăâîșțşţ", "sk": "áäčďéíĺľňóôŕšťúýž", "sl": "čšž", "tr": "çğıöşüİ",
    "zh": "汉漢简繁體", "ru": "бгдёжя", "el": "άέήίόύώς", "ko": "한국어", "vi": "ạảấầẩẫậ",
    "yo": "ẹọṣ", "ar": "عرب", "he": "עברית", "hi": "हिन्दी", "th": "ไทย",
}  # fmt: skip


@pytest.mark.parametrize("code", ALPHABETS)
def test_a_language_counts_as_readable_when_the_model_has_its_letters(code: str) -> None:
    import onnxruntime
    import rapidocr

    path = Path(rapidocr.__file__).parent / "models" / "PP-OCRv6_rec_small.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    known = set(session.get_modelmeta().custom_metadata_map["character"])
    # Of ß and ı the model needs no other case.
    letters = set(ALPHABETS[code]) | {
        letter.upper() for letter in ALPHABETS[code] if len(letter.upper()) == 1
    }
    live = cast(Records, SimpleNamespace(capabilities=lambda **_: {"engine:pp-ocrv6"}))
    if letters <= known:
        assert choose_engine(live, "pp-ocrv6", code) == "pp-ocrv6"
    else:
        with pytest.raises(UnknownLanguage):
            choose_engine(live, "pp-ocrv6", code)


@pytest.mark.parametrize("mean", [[0.5, 0.5, 0.5], [0.485, 0.456, 0.406]])
def test_the_detector_sees_a_page_exactly_as_rapidocr_shows_it(mean: list[float]) -> None:
    from rapidocr.ch_ppocr_det.utils import DetPreProcess

    prepare = DetPreProcess(100_000, "max", mean, [0.229, 0.224, 0.225])
    detect = SimpleNamespace(get_preprocess=lambda: prepare, session=None)
    pixels = np.random.default_rng(1).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    seen = LeanDetector(detect).tensor(pixels)
    assert seen.dtype == np.float32
    assert np.array_equal(seen, prepare(pixels))
