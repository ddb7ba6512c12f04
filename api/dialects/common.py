"""What all dialects share."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from casola_ocr.documents import clean_file_name
from casola_ocr.fetch import decode_data_url
from casola_ocr.jobs import NewDocument


def document_from_url(url: str, max_bytes: int) -> NewDocument:
    """The document behind a URL that a client sent: decoded from data:, else left to a worker.

    Raises:
        BadDataUrl, EmptyFile, FileTooLarge: a data: URL does not hold an acceptable file.
    """
    if url[:5].lower() == "data:":
        return NewDocument(file_name="document", source=decode_data_url(url, max_bytes))
    try:
        name = unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError:
        name = ""
    return NewDocument(file_name=clean_file_name(name), source=None, url=url)
