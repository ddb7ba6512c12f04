"""Pages that are empty, turned, noise or not wanted, and languages that cannot be read."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pikepdf
import pytest
from PIL import Image

from casola_ocr.sample import sample_image
from tests.pages import as_bytes, cer, draw_page
from tests.pdfs import make_pdf, text_page
from tests.running import RunningService

pytestmark = pytest.mark.e2e

WAIT = {"Prefer": "wait=60"}
LINES = [
    "The quick brown fox jumps over the lazy dog",
    "while the old river runs down to the sea,",
    "and nobody counts the words of this page",
    "as long as they stand in the right order.",
]


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    with service.client() as made:
        yield made
        assert made.get("/readyz").status_code == 200, "the service must go on"


def read(client: httpx.Client, content: bytes, **options: str) -> dict[str, Any]:
    answer = client.post("/api/v1/jobs", files={"file": content}, data=options, headers=WAIT)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def problem_of(client: httpx.Client, **options: str) -> dict[str, Any]:
    answer = client.post("/api/v1/jobs", files={"file": sample_image()}, data=options)
    assert answer.status_code == 422, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["advice"]
    return problem


@pytest.mark.parametrize("model", ["auto", "pp-ocrv6", "tesseract"])
@pytest.mark.parametrize("shade", ["white", "black", "#807060"])
def test_a_blank_page_is_read_and_has_no_words(
    client: httpx.Client, model: str, shade: str
) -> None:
    result = read(client, as_bytes(Image.new("RGB", (900, 1200), shade)), model=model)
    assert (result["status"], result["text"], result["words"]) == ("completed", "", 0)
    (page,) = result["page_results"]
    assert "blank" in page["flags"]
    assert (page["lines"], page["confidence"]) == ([], None)


def test_a_blank_page_between_others_keeps_its_place(client: httpx.Client) -> None:
    document = make_pdf([text_page(LINES), text_page([]), text_page(LINES)])
    result = read(client, document)
    before, blank, after = result["text"].split("\f")
    assert (before, blank) == (after, "")
    assert ["blank" in page["flags"] for page in result["page_results"]] == [False, True, False]


def grains(shape: tuple[int, int], seed: int) -> Image.Image:
    count = shape[0] * shape[1]
    return Image.frombytes("L", shape, random.Random(seed).randbytes(count))


@pytest.mark.parametrize("model", ["auto", "pp-ocrv6", "tesseract"])
@pytest.mark.parametrize("kind", ["grey", "black-and-white", "coarse"])
def test_noise_is_not_taken_for_words(client: httpx.Client, model: str, kind: str) -> None:
    noise = {
        "grey": lambda: grains((800, 1000), 1),
        "black-and-white": lambda: grains((800, 1000), 2).point(lambda value: 255 * (value > 40)),
        "coarse": lambda: grains((200, 250), 3).resize((800, 1000)),
    }[kind]()
    (page,) = read(client, as_bytes(noise), model=model)["page_results"]
    assert {"blank", "low_confidence"} & set(page["flags"]), page["text"][:200]


@pytest.mark.parametrize(("turn", "rotation"), [(90, 90), (180, 180), (270, 270)])
def test_a_turned_page_is_read_and_its_boxes_are_those_of_the_page(
    client: httpx.Client, turn: int, rotation: int
) -> None:
    # Room below the lines: on the turned page they are not where they would be upright.
    upright = Image.new("RGB", (1240, 1000), "white")
    upright.paste(draw_page(LINES), (0, 0))
    # Pillow turns counter-clockwise, so `rotation` clockwise makes it upright again.
    turned = upright.rotate(turn, expand=True)
    (page,) = read(client, as_bytes(turned))["page_results"]
    assert cer(" ".join(LINES), page["text"]) < 0.05
    assert page["rotation"] == rotation
    assert (page["width"], page["height"]) == turned.size
    ink = turned.convert("L").point(lambda value: 255 * (value < 128)).getbbox()
    assert ink is not None
    boxes = [line["box"] for line in page["lines"]]
    around = (
        min(box[0] for box in boxes), min(box[1] for box in boxes),
        max(box[2] for box in boxes), max(box[3] for box in boxes),
    )  # fmt: skip
    assert max(abs(a - b) for a, b in zip(around, ink, strict=True)) < 40


def test_of_a_gif_the_first_frame_is_read_unless_all_are_wanted(client: httpx.Client) -> None:
    frames = [draw_page([f"This is frame {n}"], width=700) for n in (1, 2, 3)]
    document = as_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    first = read(client, document)
    assert first["pages"]["total"] == 1
    assert cer("This is frame 1", first["text"]) < 0.1
    every = read(client, document, pages="all")
    assert every["pages"]["total"] == 3
    assert cer("This is frame 3", every["page_results"][2]["text"]) < 0.1


def test_wanted_pages_past_the_end_are_left_out(client: httpx.Client) -> None:
    document = make_pdf([text_page([f"This is page {n} of three."]) for n in (1, 2, 3)])
    result = read(client, document, pages="1-2,9")
    assert [page["page"] for page in result["page_results"]] == [1, 2]
    assert (result["pages"]["total"], result["pages_selected"]) == (2, "1-2,9")
    base = f"/api/v1/jobs/{result['request_id']}/pages"
    codes = [client.get(f"{base}/{number}").status_code for number in (1, 2, 3, 9)]
    assert codes == [200, 200, 404, 404]


def test_a_language_that_nobody_knows_is_refused_with_those_that_can_be_read(
    client: httpx.Client,
) -> None:
    problem = problem_of(client, language="en,klingon")
    assert problem["code"] == "unknown_language"
    assert "es, fr, de, it, pt, ru, ja, ko, zh, " in problem["detail"]


def test_a_language_that_the_model_cannot_read_is_refused(client: httpx.Client) -> None:
    problem = problem_of(client, language="ru", model="pp-ocrv6")
    assert problem["code"] == "unknown_language"
    assert "Russian" in problem["detail"]
    assert "tesseract" in problem["detail"]


def test_a_language_without_data_is_refused_with_the_package_to_install(
    client: httpx.Client,
) -> None:
    engines = {row["name"]: row for row in client.get("/api/v1/engines").json()["data"]}
    missing = {row["code"] for row in engines["tesseract"]["languages"] if not row["works"]}
    # Amharic, Tibetan, Khmer, Inuktitut: few machines have one of them, none has all.
    packages = {"am": "amh", "bo": "bod", "km": "khm", "iu": "iku"}
    code = next(code for code in packages if code in missing)
    for model in ("auto", "tesseract"):
        problem = problem_of(client, language=code, model=model)
        assert problem["code"] == "language_not_installed"
        assert f"tesseract-ocr-{packages[code]}" in problem["detail"]


def test_a_language_without_tesseracts_data_is_read_by_an_engine_that_needs_none(
    client: httpx.Client,
) -> None:
    lines = ["Allir menn eru bornir frjálsir", "og jafnir hver öðrum að virðingu"]
    result = read(client, as_bytes(draw_page(lines)), language="is")
    assert cer(" ".join(lines), result["text"]) < 0.1


def garbled(data: bytes) -> bytes:
    """The PDF with a font that calls each letter the one 29 before it, as broken subsets do."""
    table = b"""/CIDInit /ProcSet findresource begin 12 dict begin begincmap
        /CMapName /Garbled def /CMapType 2 def
        1 begincodespacerange <00> <FF> endcodespacerange
        1 beginbfrange <20> <7E> <0003> endbfrange
        endcmap end end"""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(data)) as document:
        document.pages[0].Resources.Font.F.ToUnicode = document.make_stream(table)
        document.save(out)
    return out.getvalue()


def test_embedded_text_is_taken_only_where_it_is_what_the_page_shows(client: httpx.Client) -> None:
    lines = [f"This is born-digital line {n}, exactly as it was." for n in range(12)]
    document = make_pdf([text_page(lines)])
    (taken,) = read(client, document, text_layer="prefer")["page_results"]
    assert (taken["flags"], taken["engine"]) == (["text_layer"], "text-layer")
    assert (taken["text"].splitlines(), taken["confidence"]) == (lines, None)
    (refused,) = read(client, garbled(document), text_layer="prefer")["page_results"]
    assert "text_layer_refused" in refused["flags"]
    assert refused["engine"] != "text-layer"
    assert cer(" ".join(lines), refused["text"]) < 0.05
