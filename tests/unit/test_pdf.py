"""PDF to page images."""

from __future__ import annotations

import io
import threading

import pikepdf
import pytest
from PIL import Image, ImageChops, ImageDraw

from casola_ocr.documents import open_document
from casola_ocr.documents.pdf import PdfReader
from casola_ocr.documents.resolution import LONG_PIXELS, SHORT_PIXELS, choose_scale, picture_dpi
from casola_ocr.errors import DamagedDocument, PasswordNeeded, TooManyPixels, WrongPassword
from tests.pages import draw_page
from tests.pdfs import A4, Page, encrypted, make_pdf, scan_page, text_page

LIMIT = 100_000_000


def reader(data: bytes, **options: object) -> PdfReader:
    return PdfReader(data, **{"max_pixels": LIMIT, **options})


def page_of(data: bytes, page: int = 1, **options: object) -> Image.Image:
    with reader(data, **options) as document:
        image = document.page(page)
    assert image.mode == "RGB"
    return image


def ink_box(image: Image.Image) -> tuple[int, int, int, int]:
    box = ImageChops.invert(image.convert("L")).point(lambda level: 255 * (level > 100)).getbbox()
    assert box is not None, "the page is blank"
    return box


def scan(width: int, height: int) -> Image.Image:
    image = Image.new("L", (width, height), 255)
    ImageDraw.Draw(image).rectangle((width // 10, height // 10, width // 2, height // 5), fill=0)
    return image


def test_a_born_digital_page_is_drawn_at_300_dots_per_inch() -> None:
    image = page_of(make_pdf([text_page()]))
    assert image.size == (2480, 3509)
    left, top, _, _ = ink_box(image)
    assert abs(left - 50 / 72 * 300) < 15, "the first letter's side bearing"
    assert abs(top - (60 - 9) / 72 * 300) < 15


@pytest.mark.parametrize("in_form", [False, True])
@pytest.mark.parametrize("dpi", [150, 200, 300])
def test_a_scan_is_drawn_with_its_own_pixels(dpi: int, in_form: bool) -> None:
    size = (round(8 * dpi), round(11 * dpi))
    image = page_of(make_pdf([scan_page(scan(*size), size=(576, 792), in_form=in_form)]))
    assert image.size == size
    assert ImageChops.difference(image.convert("L"), scan(*size)).getextrema()[1] < 40


@pytest.mark.parametrize(("pixels", "drawn"), [((576, 792), 150), ((4608, 6336), 363)])
def test_a_scan_of_odd_resolution_is_brought_into_bounds(
    pixels: tuple[int, int], drawn: int
) -> None:
    image = page_of(make_pdf([scan_page(scan(*pixels), size=(576, 792))]))
    assert abs(image.width - 8 * drawn) <= 10


def test_strips_of_a_scan_count_together_and_a_logo_does_not() -> None:
    strips = [(300.0, 0.1)] * 10
    assert picture_dpi(strips) == 300
    assert picture_dpi([(1200, 0.02), (200, 1.0)]) == 200
    assert picture_dpi([(100, 1.0), (300, 0.95)]) == 300, "letters in a layer of their own"
    assert picture_dpi([(200, 0.3)]) is None
    assert picture_dpi([]) is None


def test_text_drawn_on_a_coarse_picture_is_not_drawn_as_coarse() -> None:
    over = text_page(["Words that are drawn on top of a coarse picture"] * 30)
    image = page_of(make_pdf([scan_page(scan(595, 842), over=over)]))
    assert image.width == 2480


@pytest.mark.parametrize(
    ("size", "least", "most"),
    [
        ((1, 1), SHORT_PIXELS, SHORT_PIXELS),
        ((227, 567), SHORT_PIXELS, 3000),
        ((420, 595), 1750, 2480),
        ((842, 1191), 2828, LONG_PIXELS),
        ((30_000, 30_000), LONG_PIXELS, LONG_PIXELS),
        ((14_400, 200), 400, 30_000),
        ((227, 5669), 700, 20_000),
        ((0.01, 5_000), 1, 30_000),
    ],
)
def test_small_pages_get_more_and_large_ones_less(
    size: tuple[float, float], least: int, most: int
) -> None:
    scale = choose_scale(*size, scan_dpi=None, text_share=0, max_pixels=LIMIT)
    short, long = sorted(round(side * scale) for side in size)
    assert least - 1 <= max(1, short)
    assert long <= most


@pytest.mark.parametrize("limit", [1_000_000, 2_000_000, 100_000_000])
@pytest.mark.parametrize("size", [A4, (1, 1), (30_000, 30_000), (14_400, 3), (3, 14_400)])
def test_a_page_never_has_more_pixels_than_the_operator_allows(
    size: tuple[float, float], limit: int
) -> None:
    image = page_of(make_pdf([Page("", size)]), max_pixels=limit)
    assert image.width * image.height <= min(limit, 16_500_000)


def test_a_picture_with_too_many_pixels_is_not_decoded() -> None:
    bomb = scan_page(scan(100, 100))
    entries, pixels = bomb.objects["Im"]
    bomb.objects["Im"] = (entries.replace("/Width 100", "/Width 60000"), pixels)
    with reader(make_pdf([bomb, text_page()]), max_pixels=5_000_000) as document:
        with pytest.raises(TooManyPixels, match="60000 x 100"):
            document.page(1)
        assert ink_box(document.page(2))


def test_a_page_whose_picture_is_damaged_is_drawn_without_it() -> None:
    page = scan_page(scan(100, 100), over=text_page())
    entries, _ = page.objects["Im"]
    page.objects["Im"] = (entries.replace("/Width 100", "/Width -3"), b"rubbish")
    assert ink_box(page_of(make_pdf([page])))


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_rotate_is_honoured(turn: int) -> None:
    image = page_of(make_pdf([text_page(extra=f"/Rotate {turn}")]))
    assert image.size == ((2480, 3509) if turn % 180 == 0 else (3509, 2480))
    left, top, right, bottom = ink_box(image)
    middle = ((left + right) / 2 / image.width, (top + bottom) / 2 / image.height)
    expected = {0: (0.4, 0.1), 90: (0.9, 0.4), 180: (0.6, 0.9), 270: (0.1, 0.6)}[turn]
    assert abs(middle[0] - expected[0]) < 0.1 and abs(middle[1] - expected[1]) < 0.1


def test_the_crop_box_is_what_is_seen() -> None:
    image = page_of(make_pdf([text_page(extra="/CropBox [0 700 400 842]")]))
    assert abs(image.width / image.height - 400 / 142) < 0.01
    assert ink_box(image)


def test_annotations_and_form_fields_are_drawn() -> None:
    look = (
        "/Type /XObject /Subtype /Form /BBox [0 0 100 50]",
        b"0 0 0 rg 0 0 100 50 re f",
    )
    stamp = "/Type /Annot /Subtype /Stamp /Rect [100 100 200 150] /F 4 /AP << /N @Ap >>"
    image = page_of(make_pdf([Page("", extra=f"/Annots [<< {stamp} >>]", objects={"Ap": look})]))
    assert ink_box(image)
    field = stamp.replace("/Stamp", "/Widget /FT /Tx /T (name) /V (x)")
    form = make_pdf(
        [Page("", extra=f"/Annots [<< {field} >>]", objects={"Ap": look})],
        root="/AcroForm << /Fields [] >>",
    )
    assert ink_box(page_of(form))


@pytest.mark.parametrize("revision", [3, 4, 6])
def test_an_encrypted_document_opens_with_its_password_only(revision: int) -> None:
    data = encrypted(make_pdf([text_page()]), user="grün" if revision == 6 else "s3cret",
                     revision=revision)  # fmt: skip
    with pytest.raises(PasswordNeeded):
        reader(data)
    with pytest.raises(WrongPassword) as caught:
        reader(data, password="wrong-one")
    assert "wrong-one" not in repr(caught.value)
    for password in ("grün" if revision == 6 else "s3cret", "owner"):
        assert ink_box(page_of(data, password=password))


def test_a_password_that_only_forbids_printing_is_not_asked_for() -> None:
    assert ink_box(page_of(encrypted(make_pdf([text_page()]), user="")))
    assert ink_box(page_of(make_pdf([text_page()]), password="not needed"))


def test_a_document_without_pages_says_so() -> None:
    with pytest.raises(DamagedDocument, match="no pages"):
        reader(make_pdf([]))


@pytest.mark.parametrize("data", [b"%PDF-1.7", b"%PDF-1.7\n" + b"\x00" * 500])
def test_what_is_no_pdf_after_its_signature_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedDocument):
        reader(data)


def test_a_damaged_cross_reference_is_repaired() -> None:
    data = make_pdf([text_page(), text_page(["another"])])
    broken = data.replace(b"startxref\n", b"startxref\n9")
    with reader(broken) as document:
        assert document.count(10) == 2
        assert ink_box(document.page(2))


def test_a_page_whose_object_is_gone_fails_alone() -> None:
    pages = [text_page([f"page {n}"], points=10 + n) for n in range(3)]
    with pikepdf.open(io.BytesIO(make_pdf(pages))) as document:
        number = document.pages[1].obj.objgen[0]
    data = make_pdf(pages).replace(
        b"\n%d 0 obj\n<< /Type /Page " % number, b"\n%d 0 obj\n<< /Type /Pag " % number
    )
    with reader(data) as document:
        assert document.count(10) == 3
        with pytest.raises(DamagedDocument):
            document.page(2)
        assert ink_box(document.page(3))


def test_a_page_that_is_only_claimed_fails_alone() -> None:
    with reader(make_pdf([text_page()], count=3)) as document:
        assert document.count(10) == 3
        with pytest.raises(DamagedDocument):
            document.page(3)
        assert ink_box(document.page(1))


@pytest.mark.parametrize("page", [0, 2, -1])
def test_a_page_that_does_not_exist_is_refused(page: int) -> None:
    with reader(make_pdf([text_page()])) as document, pytest.raises(DamagedDocument):
        document.page(page)


@pytest.mark.parametrize("box", ["0 0 0 0", "0 0 1e9 1e9", "0 0 1e-6 1e-6", "9 9 -9 -9", "a b"])
def test_odd_page_sizes_draw_something_or_fail_with_a_reason(box: str) -> None:
    data = make_pdf([text_page()]).replace(b"[0 0 595 842]", f"[{box}]".encode())
    with reader(data) as document:
        try:
            image = document.page(1)
        except DamagedDocument:
            return
    assert 1 <= image.width * image.height <= 16_500_000


def test_threads_with_readers_of_their_own_may_work_at_once() -> None:
    data = make_pdf([text_page([f"page {n}"]) for n in range(3)])
    expected = [page_of(data, n).tobytes() for n in (1, 2, 3)]
    found: dict[int, list[bytes]] = {}

    def work(thread: int) -> None:
        with reader(data) as document:
            found[thread] = [document.page(n).tobytes() for n in (1, 2, 3)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), expected)


def test_the_one_way_in_opens_a_pdf_too() -> None:
    data = make_pdf([scan_page(draw_page(["Hello"]), size=(300, 60))])
    with open_document(data, "application/pdf", max_pixels=LIMIT) as document:
        assert document.count(1) == 1
        assert ink_box(document.page(1))
