"""ALTO 4.4: positions in pixels of the page image as it is, origin top left."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, tostring

from casola_ocr import __version__
from casola_ocr.exports.document import Document, for_xml, language_of, lines_of, share, spaced
from casola_ocr.model import Job
from casola_ocr.pages import Line, PageResult
from casola_ocr.text.direction import is_right_to_left
from casola_ocr.text.grouping import TABLE, Box, Group, group
from casola_ocr.times import timestamp

_PROLOGUE = """\
<?xml version="1.0" encoding="UTF-8"?>
<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://www.loc.gov/standards/alto/ns-v4# \
http://www.loc.gov/standards/alto/v4/alto-4-4.xsd" SCHEMAVERSION="4.4">
"""
_TABLE_TAG = "table"


def write(document: Document) -> Iterator[bytes]:
    tags = Element("Tags")
    SubElement(tags, "LayoutTag", {"ID": _TABLE_TAG, "LABEL": TABLE})
    yield _PROLOGUE.encode() + _text(_description(document.job)) + _text(tags) + b"<Layout>\n"
    for page in document.pages():
        yield _text(_page(page))
    yield b"</Layout>\n</alto>\n"


def _description(job: Job) -> Element:
    made = Element("Description")
    SubElement(made, "MeasurementUnit").text = "pixel"
    source = SubElement(made, "sourceImageInformation")
    SubElement(source, "fileName").text = for_xml(job.file_name)
    step = SubElement(made, "Processing", {"ID": "ocr"})
    SubElement(step, "processingCategory").text = "contentGeneration"
    if job.finished_at:
        SubElement(step, "processingDateTime").text = timestamp(job.finished_at)
    SubElement(step, "processingStepSettings").text = f"engine {job.engine}"
    software = SubElement(step, "processingSoftware")
    SubElement(software, "softwareName").text = "casola-ocr"
    SubElement(software, "softwareVersion").text = __version__
    return made


def _page(page: PageResult) -> Element:
    made = Element("Page", {"ID": f"page_{page.page}", "PHYSICAL_IMG_NR": str(page.page)})
    if page.width and page.height:
        made.set("WIDTH", str(page.width))
        made.set("HEIGHT", str(page.height))
    if page.error:
        made.set("QUALITY_DETAIL", f"not read: {page.error.code}")
    if page.confidence is not None:
        made.set("PC", f"{share(page.confidence):.4g}")
    if page.rotation % 360:
        # Counter-clockwise: so far was upright text turned before it stood as it does.
        made.set("ROTATION", str(page.rotation % 360))
    if language := language_of(page):
        made.set("LANG", language)
    space = SubElement(made, "PrintSpace", _place((0, 0, page.width, page.height)))
    for number, found in enumerate(group(lines_of(page), page.blocks), 1):
        _block(space, found, f"{page.page}_{number}")
    return made


def _block(space: Element, found: Group, ends: str) -> None:
    block = SubElement(space, "TextBlock", {"ID": f"block_{ends}", **_place(found.box)})
    if found.label == TABLE:
        block.set("TAGREFS", _TABLE_TAG)
    for number, line in enumerate(found.lines, 1):
        made = SubElement(block, "TextLine", {"ID": f"line_{ends}_{number}", **_place(line.box)})
        if is_right_to_left(line.text):
            made.set("BASEDIRECTION", "rtl")
        _strings(made, line)


def _strings(made: Element, line: Line) -> None:
    """Strings with white space between them; without words, those that the text has itself."""
    if not line.words:
        for index, text in enumerate(line.text.split() or [""]):
            if index:
                SubElement(made, "SP")
            SubElement(made, "String", {"CONTENT": for_xml(text)})
        return
    for word, space in spaced(line):
        string = SubElement(made, "String", {"CONTENT": for_xml(word.text)})
        if word.box:
            string.attrib.update(_place(word.box))
        if word.confidence is not None:
            string.set("WC", f"{share(word.confidence):.4g}")
        if space:
            SubElement(made, "SP")


def _place(box: Box) -> dict[str, str]:
    x0, y0, x1, y1 = box
    return {"HPOS": str(x0), "VPOS": str(y0), "WIDTH": str(x1 - x0), "HEIGHT": str(y1 - y0)}


def _text(element: Element) -> bytes:
    return f"{tostring(element, encoding='unicode')}\n".encode()
