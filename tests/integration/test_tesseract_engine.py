from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import psutil
import pytest
from PIL import Image

from casola_ocr.errors import ConfigurationError, EngineFailed, LanguageNotInstalled
from casola_ocr.languages import LANGUAGES
from casola_ocr.pages import PageResult
from casola_ocr.sample import sample_image
from casola_ocr.text.counts import count_words
from tests.pages import cer, draw_page
from workers.engines import installed_engines, make_engine
from workers.engines.golden import prove
from workers.engines.tesseract import Look, TesseractEngine

ENGLISH = ["The quick brown fox jumps", "over the lazy dog at 12:45", "and pays $1,499.00 today"]
RUSSIAN = [
    "Съешь же ещё этих мягких",
    "французских булок, да выпей чаю",
    "Счёт на сумму 1499 рублей",
    "Большая квартира в центре",
]


@pytest.fixture(scope="module")
def engine() -> TesseractEngine:
    return TesseractEngine(1)


def read(engine: TesseractEngine, image: Image.Image, language: str = "auto") -> PageResult:
    return engine.read(image, page=3, attempt=2, language=language)


def check_shape(result: PageResult) -> None:
    """What holds for every page, whatever is on it."""
    for line in result.lines:
        for box in (line.box, *(word.box for word in line.words if word.box)):
            assert 0 <= box[0] < box[2] <= result.width
            assert 0 <= box[1] < box[3] <= result.height
        assert line.confidence is not None and 0 <= line.confidence <= 1
        for word in line.words:
            assert line.text[word.start : word.start + len(word.text)] == word.text
            assert word.confidence is not None and 0 <= word.confidence <= 1
        assert "".join(word.text for word in line.words) == "".join(line.text.split())
    assert result.words == count_words(result.text)
    assert json.loads(result.to_json())["words"] == result.words


def children(parent: int | None = None) -> list[psutil.Process]:
    """Runs of Tesseract that a process, by default this one, has started."""
    return [child for child in psutil.Process(parent).children() if child.name() == "tesseract"]


def test_it_is_installed_and_reads_the_golden_page(engine: TesseractEngine) -> None:
    assert "tesseract" in installed_engines()
    assert engine.version.startswith("tesseract ")
    assert engine.version.split()[1][0].isdigit()
    assert prove(make_engine("tesseract", 1)) > 0


def test_a_page_comes_back_with_lines_words_boxes_and_confidences(engine: TesseractEngine) -> None:
    result = read(engine, draw_page(ENGLISH), "en")
    check_shape(result)
    assert cer("\n".join(ENGLISH), result.text) < 0.02
    assert [line.text for line in result.lines] == ENGLISH
    assert [len(line.words) for line in result.lines] == [5, 6, 4]
    assert (result.page, result.attempts, result.language) == (3, 2, "en")
    assert (result.engine, result.engine_version) == ("tesseract", engine.version)
    assert result.confidence is not None and result.confidence > 0.8
    tops = [line.box[1] for line in result.lines]
    assert tops == sorted(tops) and 60 < tops[0] < 100, "in pixels of the page"


def test_a_russian_page_is_read_as_russian(engine: TesseractEngine) -> None:
    result = read(engine, draw_page(RUSSIAN), "ru")
    check_shape(result)
    assert cer("\n".join(RUSSIAN), result.text) < 0.05


def test_a_page_in_two_scripts_is_read_with_both_languages(engine: TesseractEngine) -> None:
    page = draw_page([*RUSSIAN, *ENGLISH])
    result = read(engine, page, "ru,en")
    check_shape(result)
    assert cer("\n".join([*RUSSIAN, *ENGLISH]), result.text) < 0.05
    assert result.language == "ru"


def test_on_auto_the_script_decides(engine: TesseractEngine) -> None:
    result = read(engine, draw_page(RUSSIAN * 3))
    assert cer("\n".join(RUSSIAN * 3), result.text) < 0.05
    assert result.language == "ru"
    german = ["Die Straße nach Köln ist für", "Fußgänger gesperrt, weil Bäume", "umgestürzt sind."]
    assert cer("\n".join(german), read(engine, draw_page(german)).text) < 0.02


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        (RUSSIAN, Look("Latin", 0)),
        (RUSSIAN, Look("Latin", 180)),
        (ENGLISH, Look("Latin", 180)),
        (ENGLISH, Look("Cyrillic", 0)),
    ],
)
def test_what_it_saw_wrongly_of_a_page_is_put_right_once_it_reads_badly(
    engine: TesseractEngine, monkeypatch: pytest.MonkeyPatch, written: list[str], seen: Look
) -> None:
    monkeypatch.setattr(engine, "look", lambda image: seen)
    result = read(engine, draw_page(written))
    assert cer(result.text, "\n".join(written)) < 0.05
    assert result.rotation == 0


def test_a_language_without_data_is_refused_with_its_package(engine: TesseractEngine) -> None:
    absent = next(code for code in LANGUAGES if code not in engine.languages)
    with pytest.raises(LanguageNotInstalled) as caught:
        read(engine, draw_page(ENGLISH), f"en,{absent}")
    assert LANGUAGES[absent].name in caught.value.detail
    assert LANGUAGES[absent].packages[0] in caught.value.detail


@pytest.mark.parametrize(
    "size", [(1, 1), (2, 2000), (2000, 2), (20, 20), (40_000, 30), (30, 40_000), (900, 600)]
)
def test_blank_pages_of_any_shape_have_no_text(
    engine: TesseractEngine, size: tuple[int, int]
) -> None:
    result = read(engine, Image.new("RGB", size, "white"))
    assert (result.text, result.lines, result.words, result.confidence) == ("", (), 0, None)
    assert (result.width, result.height) == size


def test_what_stands_at_the_end_of_a_very_long_strip_has_its_place_there(
    engine: TesseractEngine,
) -> None:
    strip = Image.new("RGB", (900, 40_000), "white")
    strip.paste(draw_page(["Total amount due"], width=900, font_size=60), (0, 39_600))
    result = read(engine, strip, "en")
    check_shape(result)
    assert result.text == "Total amount due"
    assert 39_650 < result.lines[0].box[1] < result.lines[0].box[3] < 39_900


def test_a_single_line_can_be_asked_for_alone(engine: TesseractEngine) -> None:
    (line,) = engine.recognise(draw_page(["Invoice 4711"], width=420), ["en"], psm=7)
    assert line.text == "Invoice 4711"


def test_chinese_has_no_spaces_that_are_not_on_the_page(engine: TesseractEngine) -> None:
    from workers.engines.tesseract import _lines

    header = "level\tpage\tblock\tpar\tline\tword\tleft\ttop\twidth\theight\tconf\ttext"
    rows = [
        (100, 50, "数据"),
        (152, 40, "备"),
        (194, 40, "份"),
        (300, 80, "Debian"),
        (390, 60, "12"),
    ]
    table = "\n".join(
        [header]
        + [
            f"5\t1\t1\t1\t1\t{n}\t{x}\t10\t{w}\t40\t90.0\t{text}"
            for n, (x, w, text) in enumerate(rows)
        ]
    )
    (line,) = _lines(table, (1000, 100), 1.0)
    assert line.text == "数据备份 Debian 12"
    assert [word.start for word in line.words] == [0, 2, 3, 5, 12]


def test_a_line_that_the_plain_text_has_otherwise_keeps_its_words(engine: TesseractEngine) -> None:
    from workers.engines.tesseract import _lines

    # The second word was not recognised: the table says -1, and the text has it all the same.
    rows = [
        "5\t1\t1\t1\t1\t1\t10\t10\t90\t40\t96.0\tTotal",
        "5\t1\t1\t1\t1\t2\t110\t10\t20\t40\t-1\t|",
        "5\t1\t1\t1\t1\t3\t140\t10\t90\t40\t95.0\t12.50",
        "Total | 12.50",
    ]
    (line,) = _lines("\n".join(["level", *rows]), (1000, 100), 1.0)
    assert line.text == "Total 12.50"


class Stopped(Exception):
    """What a worker raises in its main thread."""


@pytest.fixture
def interrupted() -> Iterator[None]:
    """SIGUSR2 raises in the main thread, as it does in a worker child; it comes while it reads."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    def wait_and_send() -> None:
        deadline = time.monotonic() + 10
        while not children() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGUSR2)

    before = signal.signal(signal.SIGUSR2, interrupt)
    thread = threading.Thread(target=wait_and_send)
    thread.start()
    yield
    thread.join()
    signal.signal(signal.SIGUSR2, before)


@pytest.mark.usefixtures("interrupted")
def test_a_page_that_nobody_wants_any_more_is_not_read_on(engine: TesseractEngine) -> None:
    big = draw_page(ENGLISH * 40, width=2400)
    start = time.monotonic()
    with pytest.raises(Stopped):
        read(engine, big, "en")
    assert time.monotonic() - start < 5
    assert children() == []


def test_a_killed_worker_leaves_no_tesseract_behind() -> None:
    script = (
        "from tests.pages import draw_page\n"
        "from workers.engines.tesseract import Look, TesseractEngine\n"
        "page = draw_page(['The quick brown fox jumps over the lazy dog'] * 120, width=2400)\n"
        "engine = TesseractEngine(1)\n"
        "print('ready', flush=True)\n"
        "engine.recognise(page, ['en'])\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None and worker.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + 10
        running: list[psutil.Process] = []
        while not running and time.monotonic() < deadline:
            time.sleep(0.05)
            running = children(worker.pid)
        # Earlier it has not the whole image yet, and ends by itself when nobody sends the rest.
        while running and running[0].cpu_times().user < 1.2:
            time.sleep(0.05)
        worker.kill()
    assert running
    _, left = psutil.wait_procs(running, timeout=0.5)
    # A container's first process may never collect what has died.
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_page_that_tesseract_refuses_is_an_engine_error_without_its_words(
    engine: TesseractEngine,
) -> None:
    with pytest.raises(EngineFailed) as caught:
        engine.recognise(draw_page(ENGLISH), ["en"], psm=99)
    assert "psm" not in caught.value.detail


def test_it_gets_nothing_of_the_environment_that_it_does_not_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert set(TesseractEngine(1)._environment) <= {
        "PATH", "TESSDATA_PREFIX", "LD_LIBRARY_PATH", "OMP_THREAD_LIMIT",
    }  # fmt: skip


def test_without_the_program_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "tesseract" not in installed_engines()
    with pytest.raises(ConfigurationError, match="program tesseract"):
        make_engine("tesseract", 1)
    with pytest.raises(ConfigurationError, match="apt-get install tesseract-ocr"):
        TesseractEngine(1)


def test_the_sample_is_read_on_auto(engine: TesseractEngine) -> None:
    with Image.open(io.BytesIO(sample_image())) as picture:
        result = read(engine, picture.convert("RGB"))
    check_shape(result)
    assert "Invoice" in result.text
