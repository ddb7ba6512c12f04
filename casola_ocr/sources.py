"""The document behind what a client sends in its place: a URL, a data: URL, the ID of a file."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from casola_ocr.documents.names import clean_file_name
from casola_ocr.errors import BadUrl, FileTooLarge
from casola_ocr.fetch import decode_data_url
from casola_ocr.files import File, Files, spooled
from casola_ocr.jobs import NewDocument
from casola_ocr.links import FileLinks
from casola_ocr.settings import Settings


class Sources:
    """Finds documents. Safe to share between threads and greenlets.

    The caller closes the `source` of what it gets, where that is a file.
    """

    def __init__(self, settings: Settings, files: Files, links: FileLinks):
        self._settings = settings
        self._files = files
        self._links = links

    def of_file(self, tenant: str, file_id: str) -> NewDocument:
        """The document in a tenant's file.

        Raises:
            NotFound: there is no such file.
            FileTooLarge: it is larger than a document may be.
        """
        return self._document_in(self._files.get(tenant, file_id))

    def of_url(self, tenant: str, url: str) -> NewDocument:
        """The document behind a URL: decoded from data:, else left to a worker.

        A link to one of our own files is followed here: nothing is downloaded.

        Raises:
            BadDataUrl, EmptyFile, FileTooLarge: a data: URL does not hold an acceptable file.
            BadUrl: it holds half of a character, as JSON's escapes allow; or it is a link of ours
                that leads to nothing any more.
        """
        if url[:5].lower() == "data:":
            source = decode_data_url(url, self._settings.max_file_bytes)
            return NewDocument(file_name="document", source=source)
        try:
            url.encode()
            name = unquote(urlsplit(url).path.rpartition("/")[2])
        except UnicodeEncodeError as error:
            raise BadUrl("The URL holds characters that are not Unicode.") from error
        except ValueError:
            name = ""
        file = self._links.recognise(tenant, url)
        if file is not None:
            return self._document_in(file)
        return NewDocument(file_name=clean_file_name(name), source=None, url=url)

    def _document_in(self, file: File) -> NewDocument:
        if file.size > self._settings.max_file_bytes:
            raise FileTooLarge(
                f"The file has {file.size / 1e6:.1f} MB; a document has at most "
                f"{self._settings.max_file_mb} MB."
            )
        source = spooled(self._files.content(file))
        return NewDocument(file_name=file.file_name, source=source)
