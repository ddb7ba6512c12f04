"""A small picture of a document's page, made in a process of its own.

A hostile file can make a decoder crash, hang or take all memory: here it takes only this child with
it, which has a limit for each. The bytes come by standard input; on standard output is a line of
JSON and, where it went well, a WebP after it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from io import BytesIO

from casola_ocr.errors import CasolaError, DamagedDocument, Overloaded, error_by_code

#: Children at the same time in one API process; each may take `MEMORY_BYTES`.
AT_ONCE = 3
#: How long a request waits for its turn, and then for its picture.
TURN_SECONDS = 20.0
SECONDS = 20
#: Of address space: a page of 100 million pixels with the copies that decoders make.
MEMORY_BYTES = 3_000_000_000
#: Pages are counted up to here.
MOST_PAGES = 100_000
#: WebP's, where text is still crisp.
QUALITY = 80

_TURNS = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A page as WebP, `width` and `height` in its pixels, and how many `pages` its document has."""

    pages: int
    width: int
    height: int
    webp: bytes


def thumbnail(data: bytes, media_type: str, *, page: int, side: int, max_pixels: int) -> Thumbnail:
    """Page `page` (1-based), scaled down to at most `side` pixels each way. Thread-safe.

    Raises:
        PasswordNeeded, DamagedDocument, TooManyPixels: there is no picture of it.
        Overloaded: too many wait already.
    """
    if not _TURNS.acquire(timeout=TURN_SECONDS):
        raise Overloaded("Too many pictures are being made.", retry_after_seconds=2)
    arguments = [media_type, str(page), str(side), str(max_pixels)]
    try:
        made = subprocess.run(
            # -P: a folder of somebody else's project must not be imported from.
            [sys.executable, "-P", "-m", "casola_ocr.thumbnail", *arguments],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DamagedDocument("The page takes too long to draw.") from error
    finally:
        _TURNS.release()
    head, _, webp = made.stdout.partition(b"\n")
    try:
        told = json.loads(head)
    except ValueError as error:
        raise DamagedDocument("The page cannot be drawn.") from error
    if "code" in told:
        raise error_by_code(told["code"], told["detail"])
    return Thumbnail(webp=webp, **told)


def _main(media_type: str, page: str, side: str, max_pixels: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    from casola_ocr import documents

    data = sys.stdin.buffer.read()
    try:
        with documents.open_document(data, media_type, max_pixels=int(max_pixels)) as document:
            pages = document.count(MOST_PAGES)
            image = document.page(int(page))
    except CasolaError as error:
        told = json.dumps({"code": error.code, "detail": error.detail})
        sys.stdout.buffer.write(told.encode())
        return
    image.thumbnail((int(side), int(side)))
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=2)
    made = Thumbnail(pages=pages, width=image.width, height=image.height, webp=b"")
    told = json.dumps({name: value for name, value in asdict(made).items() if name != "webp"})
    sys.stdout.buffer.write(told.encode() + b"\n" + buffer.getvalue())


if __name__ == "__main__":
    _main(*sys.argv[1:])
