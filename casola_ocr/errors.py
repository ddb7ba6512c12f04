"""Every error of Casola OCR, in one tree.

    CasolaError                      code                     HTTP  retry
    ├── MalformedRequest             malformed_request         400  no
    │   ├── NoFile                   no_file                   400  no
    │   └── BadDataUrl               bad_data_url              400  no
    ├── Unauthorized                 unauthorized              401  no
    ├── Forbidden                    forbidden                 403  no
    ├── NotFound                     not_found                 404  no
    │   └── NoSuchRoute              no_such_route             404  no
    ├── MethodNotAllowed             method_not_allowed        405  no
    ├── Gone                         gone                      410  no
    ├── Conflict                     conflict                  409  no
    │   ├── InProgress               in_progress               409  yes
    │   └── NotUploaded              not_uploaded              409  no
    ├── FileTooLarge                 file_too_large            413  no
    ├── FormTooLarge                 form_too_large            413  no
    ├── UnsupportedFormat            unsupported_format        415  no
    ├── UnsupportedMediaType         unsupported_media_type    415  no
    ├── Unprocessable                unprocessable             422  no
    │   ├── EmptyFile                empty_file                422  no
    │   ├── DamagedDocument          damaged_document          422  no
    │   ├── TooManyPixels            too_many_pixels           422  no
    │   ├── TooManyPages             too_many_pages            422  no
    │   ├── PasswordNeeded           password_needed           422  no
    │   ├── WrongPassword            wrong_password            422  no
    │   ├── BadSelection             bad_pages                 422  no
    │   ├── NoSuchPages              no_such_pages             422  no
    │   ├── UnknownModel             unknown_model             422  no
    │   ├── UnknownLanguage          unknown_language          422  no
    │   ├── LanguageNotInstalled     language_not_installed    422  no
    │   ├── UnknownFormat            unknown_format            422  no
    │   ├── PictureMissing           picture_missing           422  no
    │   ├── KeyReused                idempotency_key_reused    422  no
    │   ├── BadUrl                   bad_url                   422  no
    │   └── FetchRefused             fetch_refused             422  no
    ├── TooBusy                      too_busy                  429  yes
    ├── Unavailable                  unavailable               503  yes
    │   ├── StoreUnavailable         store_unavailable         503  yes
    │   ├── RecordsUnavailable       records_unavailable       503  yes
    │   ├── Overloaded               overloaded                503  yes
    │   ├── EngineUnavailable        engine_unavailable        503  yes
    │   └── SearchUnavailable        search_unavailable        503  yes
    │       └── SearchTimeout        search_timeout            503  yes
    ├── FetchFailed                  fetch_failed              422  no
    │   └── FetchTimeout             fetch_timeout             422  no
    ├── EngineFailed                 engine_failed             500  yes
    │   ├── EngineDied               engine_died               500  yes
    │   └── PageTimeout              page_timeout              500  yes
    ├── AttemptsExhausted            attempts_exhausted        500  no
    ├── NoPageRead                   no_page_read              422  no
    ├── WaitTimeout                  wait_timeout              504  yes
    ├── StartTimeout                 start_timeout             504  yes
    ├── ConfigurationError           configuration             500  no
    └── ObjectNotFound               (internal: a store key that does not exist)

`detail` is shown to clients: it never holds a path, a key, a token, another tenant's ID or
a stack trace. The cause, if any, is reached through ``__cause__`` and only ever logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class CasolaError(Exception):
    """Something went wrong inside Casola OCR."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    #: Whether the same request can succeed later without being changed.
    retryable: ClassVar[bool] = False
    advice: ClassVar[str] = "Try again; if it stays, give the request ID to your operator."

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int | None = None):
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.detail)


class MalformedRequest(CasolaError):
    """The request could not be understood."""

    code, status = "malformed_request", 400
    advice = "Compare the request with the API reference and send it again."

    def __init__(
        self,
        detail: str | None = None,
        *,
        field: str = "",
        kind: str = "",
        others: Sequence[MalformedRequest] = (),
    ):
        """`field` names the wrong part of the body and `kind` how it is wrong, where known.

        `others` are what else is wrong with the same body, where more was looked at.
        """
        super().__init__(detail)
        self.field = field
        self.kind = kind
        self.others = others


class NoFile(MalformedRequest):
    """The request holds no document."""

    code = "no_file"
    advice = "Send at least one file in the multipart field 'file', or JSON with a 'url'."


class BadDataUrl(MalformedRequest):
    """The data: URL could not be decoded."""

    code = "bad_data_url"
    advice = "Use data:<media type>;base64,<base64 of the file>."


class Unauthorized(CasolaError):
    """The request has no valid token."""

    code, status = "unauthorized", 401
    advice = "Send 'Authorization: Bearer TOKEN'; 'casola-ocr tokens create' makes one."


class Forbidden(CasolaError):
    """This request is not allowed."""

    code, status = "forbidden", 403
    advice = "Use the service's own address, or a token that is allowed to do this."


class NotFound(CasolaError):
    """There is nothing with this ID."""

    code, status = "not_found", 404
    advice = "Check the ID and that the token belongs to the tenant that made it."


class NoSuchRoute(NotFound):
    """There is no such route."""

    code = "no_such_route"
    advice = "Check the address; the routes are in the API reference."


class MethodNotAllowed(CasolaError):
    """This address does not know the method."""

    code, status = "method_not_allowed", 405
    advice = "Use the method that the API reference names for this address."


class Conflict(CasolaError):
    """The job is in a state that does not allow this."""

    code, status = "conflict", 409
    advice = "Read the job's status first."


class InProgress(Conflict):
    """Another request with this idempotency key is being accepted."""

    code, retryable = "in_progress", True
    advice = "Wait as long as Retry-After says and send it again; it will not run twice."


class NotUploaded(Conflict):
    """Nothing was uploaded under this ID yet."""

    code = "not_uploaded"
    advice = "Send the file to the upload's 'url' with its 'fields', then submit it."


class Gone(CasolaError):
    """The job was deleted."""

    code, status = "gone", 410
    advice = "Nothing of it is left; submit the document again to read it again."


class FileTooLarge(CasolaError):
    """The file is larger than this server accepts."""

    code, status = "file_too_large", 413
    advice = "Send a smaller file, or ask your operator to raise CASOLA_MAX_FILE_MB."


class FormTooLarge(CasolaError):
    """The form has too many parts, or too much in its fields."""

    code, status = "form_too_large", 413
    advice = "Send fewer files and fields in one form; documents belong in files, not in fields."


class UnsupportedFormat(CasolaError):
    """The bytes are not in a format that this server reads."""

    code, status = "unsupported_format", 415
    advice = (
        "Send PDF, PNG, JPEG, WebP, GIF, TIFF, BMP, AVIF or HEIC; the content counts, not the name."
    )


class UnsupportedMediaType(CasolaError):
    """The body is not of a media type that this address takes."""

    code, status = "unsupported_media_type", 415
    advice = "Send the Content-Type that the API reference names for this address."


class Unprocessable(CasolaError):
    """The request is well formed but cannot be carried out."""

    code, status = "unprocessable", 422
    advice = "Change what the message names and send it again."


class EmptyFile(Unprocessable):
    """The file has no bytes."""

    code = "empty_file"
    advice = "Check the file on your side: it arrived with a length of zero."


class DamagedDocument(Unprocessable):
    """The document is cut off or damaged and cannot be opened."""

    code = "damaged_document"
    advice = "Open the file in a viewer, save it again, and send that."


class TooManyPixels(Unprocessable):
    """A page has more pixels than this server decodes."""

    code = "too_many_pixels"
    advice = "Scale the picture down; 300 dpi is enough for text."


class TooManyPages(Unprocessable):
    """The document has more pages than this server accepts."""

    code = "too_many_pages"
    advice = "Choose fewer with 'pages', split it, or ask your operator to raise CASOLA_MAX_PAGES."


class PasswordNeeded(Unprocessable):
    """The document is encrypted and opens only with a password."""

    code = "password_needed"
    advice = "Submit it again with the option 'password', or save it without one."


class WrongPassword(Unprocessable):
    """The document does not open with the password that was given."""

    code = "wrong_password"
    advice = "Check the password, capital letters too, and submit the document again."


class BadSelection(Unprocessable):
    """The option 'pages' could not be understood."""

    code = "bad_pages"
    advice = "Write pages and ranges such as '1-5,8', '3-' or 'all'; the first page is 1."


class NoSuchPages(Unprocessable):
    """The document has none of the pages that were asked for."""

    code = "no_such_pages"
    advice = "Leave out the option 'pages', or name pages that the document has; the first is 1."


class UnknownModel(Unprocessable):
    """No engine has this name."""

    code = "unknown_model"
    advice = "Use one of the listed models, or 'auto'."


class UnknownLanguage(Unprocessable):
    """The language is not known."""

    code = "unknown_language"
    advice = (
        "Use 'auto', or languages that the model reads; GET /api/v1/engines lists them for each."
    )


class LanguageNotInstalled(Unprocessable):
    """The model could read this language, but its data is not installed here."""

    code = "language_not_installed"
    advice = "Ask your operator to run 'apt-get install' with the packages; or use another model."


class UnknownFormat(Unprocessable):
    """A result cannot be had in this format."""

    code = "unknown_format"
    advice = "Use one of the listed formats."


class PictureMissing(Unprocessable):
    """The picture of a page is not in the store any more."""

    code = "picture_missing"
    advice = "Export another format: the text is still there."


class KeyReused(Unprocessable):
    """This idempotency key was used for another request."""

    code = "idempotency_key_reused"
    advice = "Use a new key for each new request; send the same body to repeat an old one."


class BadUrl(Unprocessable):
    """The URL is not one that can be downloaded."""

    code = "bad_url"
    advice = "Use a full https:// or http:// URL, or a data: URL."


class FetchRefused(Unprocessable):
    """The URL leads to an address that this server does not download from."""

    code = "fetch_refused"
    advice = "Use a public address, or upload the file instead."


class TooBusy(CasolaError):
    """Too much of this tenant is waiting."""

    code, status, retryable = "too_busy", 429, True
    advice = "Wait as long as Retry-After says and send it again."


class Unavailable(CasolaError):
    """A part of the service is not available."""

    code, status, retryable = "unavailable", 503, True
    advice = "Wait as long as Retry-After says and send it again; nothing was accepted."


class StoreUnavailable(Unavailable):
    """The object store does not answer."""

    code = "store_unavailable"


class RecordsUnavailable(Unavailable):
    """The job records cannot be reached."""

    code = "records_unavailable"


class Overloaded(Unavailable):
    """The service has more work than it may accept."""

    code = "overloaded"


class EngineUnavailable(Unavailable):
    """No live worker runs this engine."""

    code = "engine_unavailable"


class SearchUnavailable(Unavailable):
    """The index of texts is not there yet."""

    code = "search_unavailable"
    advice = "Search by 'file_name' meanwhile; an operator finds out more with 'casola-ocr doctor'."


class SearchTimeout(SearchUnavailable):
    """The search took too long and was given up."""

    code = "search_timeout"
    advice = "Use more or longer words, or a shorter time with 'created_from' and 'created_to'."


class FetchFailed(CasolaError):
    """The document's URL could not be downloaded."""

    code, status = "fetch_failed", 422
    advice = "Open the URL yourself; it must answer 200 with the document, without a login."


class FetchTimeout(FetchFailed):
    """The document's URL took too long to answer."""

    code = "fetch_timeout"


class EngineFailed(CasolaError):
    """The engine could not read the page."""

    code, status, retryable = "engine_failed", 500, True
    advice = "Retry the failed pages, or use another model."


class EngineDied(EngineFailed):
    """The engine's process ended while it read the page; the worker starts again."""

    code = "engine_died"


class PageTimeout(EngineFailed):
    """Reading the page took longer than a page may take."""

    code = "page_timeout"


class AttemptsExhausted(CasolaError):
    """The page was tried as often as is allowed; each attempt ended without an answer."""

    code = "attempts_exhausted"
    advice = "Retry the failed pages with another model; tell your operator if it happens again."


class NoPageRead(CasolaError):
    """No page of the document could be read."""

    code, status = "no_page_read", 422
    advice = "Each page's error says why; change the document or the model."


class WaitTimeout(CasolaError):
    """The work took longer than a synchronous request may wait; it goes on."""

    code, status, retryable = "wait_timeout", 504, True
    advice = "Poll the job by its request ID; do not send the document again."


class StartTimeout(CasolaError):
    """No worker began to read the document in the time that its client gave."""

    code, status, retryable = "start_timeout", 504, True
    advice = "Submit it again, with more time or without a limit; nothing of it was read."


class ConfigurationError(CasolaError):
    """A setting is wrong."""

    code = "configuration"
    advice = "'casola-ocr settings' lists every setting with its meaning."


class ObjectNotFound(CasolaError):
    """The store has no object with this key."""

    code, status = "object_not_found", 404


#: Codes of failures that are ours and not the document's: operators get to see them.
DEAD_CODES = frozenset(
    error.code for error in (CasolaError, EngineFailed, EngineDied, PageTimeout, AttemptsExhausted)
)


def error_by_code(code: str, detail: str) -> CasolaError:
    """Rebuild an error that was stored by its code (a failed job's, a failed page's)."""
    for cls in _walk(CasolaError):
        if cls.code == code:
            return cls(detail)
    return CasolaError(detail)


def all_errors() -> list[type[CasolaError]]:
    """Every class of the tree in the order of its definition, the root first."""
    return _walk(CasolaError)


def _walk(cls: type[CasolaError]) -> list[type[CasolaError]]:
    found = [cls]
    for child in cls.__subclasses__():
        found.extend(_walk(child))
    return found
