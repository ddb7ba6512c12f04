"""PDFs written by hand, so that a test says exactly what is in one."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pikepdf
from PIL import Image

A4 = (595, 842)
LETTERS = [
    "The quick brown fox jumps over the lazy dog near the river bank.",
    "A second line of ordinary words, with a number: 12345.",
    "And a third one, which ends the paragraph here.",
]


@dataclass
class Page:
    """A page: what is drawn, the objects that this needs, and further entries of its dictionary."""

    content: str
    size: tuple[float, float] = A4
    extra: str = ""
    #: Name → object, given as a dictionary's text and a stream (None for none).
    objects: dict[str, tuple[str, bytes | None]] = field(default_factory=dict)
    font: str = "/Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding"


def text_page(
    lines: Sequence[str] = LETTERS,
    *,
    size: tuple[float, float] = A4,
    extra: str = "",
    points: float = 12,
    mode: int = 0,
    at: tuple[float, float] | None = None,
    font: str = "",
) -> Page:
    """Lines of text from the top left; `mode` 3 is invisible."""
    x, y = at or (50, size[1] - 60)
    shown = "".join(f"({_escaped(line)}) Tj 0 -{points * 1.5} Td\n" for line in lines)
    content = f"BT {mode} Tr /F {points} Tf {x} {y} Td\n{shown}ET\n"
    return Page(content, size, extra, **({"font": font} if font else {}))


def scan_page(
    image: Image.Image,
    *,
    size: tuple[float, float] = A4,
    over: Page | None = None,
    in_form: bool = False,
    extra: str = "",
) -> Page:
    """A page that is one picture, with what another page draws on top."""
    colours = "DeviceRGB" if image.mode == "RGB" else "DeviceGray"
    picture = (
        f"/Type /XObject /Subtype /Image /Width {image.width} /Height {image.height} "
        f"/ColorSpace /{colours} /BitsPerComponent 8 /Filter /FlateDecode",
        zlib.compress(image.tobytes(), 1),
    )
    # A form may be twice as large inside as it is on the page.
    factor = 0.5 if in_form else 1
    draw = f"q {size[0] * factor} 0 0 {size[1] * factor} 0 0 cm /Im Do Q\n"
    objects = {"Im": picture}
    if in_form:
        form = (
            f"/Type /XObject /Subtype /Form /BBox [0 0 {size[0]} {size[1]}] "
            "/Resources << /XObject << /Im @Im >> >>",
            draw.encode(),
        )
        objects["Fm"] = form
        draw = "q 2 0 0 2 0 0 cm /Fm Do Q\n"
    return Page(draw + (over.content if over else ""), size, extra, objects)


def make_pdf(pages: Iterable[Page], *, count: int | None = None, root: str = "") -> bytes:
    """The document; `count` is what it claims to have, `root` more of its catalogue."""
    bodies: list[bytes] = [b"", b""]
    kids = []
    shared: dict[bytes, int] = {}

    def add(body: bytes) -> int:
        # What pages have in common is stored once: long documents stay small.
        if body not in shared:
            bodies.append(body)
            shared[body] = len(bodies)
        return shared[body]

    for page in pages:
        numbers: dict[str, int] = {}
        for name, (entries, stream) in page.objects.items():
            for other, number in numbers.items():
                entries = entries.replace(f"@{other}", f"{number} 0 R")
            numbers[name] = add(_object(entries, stream))
        font = add(_object(page.font, None))
        content = add(_object("", page.content.encode("latin-1")))
        named = " ".join(f"/{name} {number} 0 R" for name, number in numbers.items())
        extra = page.extra
        for name, number in numbers.items():
            extra = extra.replace(f"@{name}", f"{number} 0 R")
        bodies.append(
            (
                f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {page.size[0]} {page.size[1]}] "
                f"/Resources << /Font << /F {font} 0 R >> /XObject << {named} >> >> "
                f"/Contents {content} 0 R {extra} >>"
            ).encode()
        )
        kids.append(len(bodies))
    bodies[0] = f"<< /Type /Catalog /Pages 2 0 R {root} >>".encode()
    listed = " ".join(f"{kid} 0 R" for kid in kids)
    total = len(kids) if count is None else count
    bodies[1] = f"<< /Type /Pages /Count {total} /Kids [{listed}] >>".encode()
    return _file(bodies)


def encrypted(data: bytes, *, user: str, owner: str = "owner", revision: int = 6) -> bytes:
    out = io.BytesIO()
    how = pikepdf.Encryption(
        user=user, owner=owner, R=revision, aes=revision > 3, metadata=revision > 3
    )
    with pikepdf.open(io.BytesIO(data)) as document:
        document.save(out, encryption=how)
    return out.getvalue()


def _file(bodies: Sequence[bytes]) -> bytes:
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(bodies) + 1,
        start,
    )
    return bytes(out)


def _object(entries: str, stream: bytes | None) -> bytes:
    if stream is None:
        return f"<< {entries} >>".encode()
    head = f"<< {entries} /Length {len(stream)} >>\nstream\n".encode()
    return head + stream + b"\nendstream"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
