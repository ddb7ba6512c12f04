"""hOCR 1.2: XHTML with the boxes in ``title`` attributes, in pixels, origin top left.

Boxes are those of the page image as it is; text that runs in another direction than to the right
says so in ``textangle``, in degrees counter-clockwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, tostring

from casola_ocr import __version__
from casola_ocr.exports.document import Document, for_xml, language_of, lines_of, share, spaced
from casola_ocr.pages import Line, PageResult, Word
from casola_ocr.text.direction import is_right_to_left
from casola_ocr.text.grouping import Box, group

_PROLOGUE = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" \
"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml">
"""
_CAPABILITIES = "ocr_page ocr_carea ocr_par ocr_line ocrx_word ocrp_lang ocrp_dir"


def write(document: Document) -> Iterator[bytes]:
    head = Element("head")
    SubElement(head, "title").text = for_xml(document.job.file_name)
    for name, content in (
        ("ocr-system", f"casola-ocr {__version__}"),
        ("ocr-capabilities", _CAPABILITIES),
        ("ocr-number-of-pages", str(document.job.pages.total)),
    ):
        SubElement(head, "meta", {"name": name, "content": content})
    yield f"{_PROLOGUE}{tostring(head, encoding='unicode')}\n<body>\n".encode()
    for page in document.pages():
        yield f"{tostring(_page(page, document.job.file_name), encoding='unicode')}\n".encode()
    yield b"</body>\n</html>\n"


def _page(page: PageResult, file_name: str) -> Element:
    # Quotes end the name and nothing escapes them; many readers divide at each semicolon.
    image = for_xml(file_name).replace('"', "'").replace(";", ",")
    title = f'image "{image}"; {_bbox((0, 0, page.width, page.height))}; ppageno {page.page - 1}'
    made = Element("div", {"class": "ocr_page", "id": f"page_{page.page}", "title": title})
    if language := language_of(page):
        made.set("lang", language)
        made.set("xml:lang", language)
    for number, found in enumerate(group(lines_of(page), page.blocks), 1):
        ends = f"{page.page}_{number}"
        where = {"title": _bbox(found.box)}
        area = SubElement(made, "div", {"class": "ocr_carea", "id": f"block_{ends}", **where})
        paragraph = SubElement(area, "p", {"class": "ocr_par", "id": f"par_{ends}", **where})
        for place, line in enumerate(found.lines, 1):
            paragraph.append(_line(line, f"{ends}_{place}", page.rotation))
    return made


def _line(line: Line, ends: str, rotation: int) -> Element:
    angle = f"; textangle {rotation % 360}" if rotation % 360 else ""
    made = Element(
        "span", {"class": "ocr_line", "id": f"line_{ends}", "title": _bbox(line.box) + angle}
    )
    if is_right_to_left(line.text):
        made.set("dir", "rtl")
    # Browsers join what no white space divides.
    made.tail = "\n"
    if not line.words:
        made.text = for_xml(line.text)
        return made
    for number, (word, space) in enumerate(spaced(line), 1):
        part = SubElement(made, "span", {"class": "ocrx_word", "id": f"word_{ends}_{number}"})
        if title := _word_title(word):
            part.set("title", title)
        part.text = for_xml(word.text)
        part.tail = " " if space else None
    return made


def _word_title(word: Word) -> str:
    parts = [_bbox(word.box)] if word.box else []
    if word.confidence is not None:
        parts.append(f"x_wconf {round(share(word.confidence) * 100)}")
    return "; ".join(parts)


def _bbox(box: Box) -> str:
    return "bbox {} {} {} {}".format(*box)
