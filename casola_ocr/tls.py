"""TLS certificates of the API: the operator's own, or one that is made for this machine.

The made one is signed by an authority of its own, whose key is thrown away at once: whoever trusts
``ca.pem`` trusts this one certificate, and nothing that anybody could sign later.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from casola_ocr.errors import ConfigurationError
from casola_ocr.settings import Settings

#: The longest that Apple's systems accept of a server.
VALID_DAYS = 825
#: One that ends sooner is made anew when the service starts.
RENEW_DAYS = 30

_LOCAL = ("localhost", "127.0.0.1", "::1")
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.IGNORECASE)


def with_certificate(settings: Settings) -> Settings:
    """The settings with the certificate of this machine, made where there is none that will do.

    Raises:
        ConfigurationError: the operator's files cannot be used, or a name is none.
    """
    if settings.tls_cert:
        _check(settings)
        return settings
    if not settings.tls:
        return settings
    folder = settings.data_dir / "tls"
    folder.mkdir(exist_ok=True, mode=0o700)
    server, names = folder / "server.pem", _names(settings)
    if not _will_do(server, ca_file(settings), names):
        _make(server, ca_file(settings), names)
    return settings.model_copy(update={"tls_cert": str(server)})


def ca_file(settings: Settings) -> Path:
    """What clients have to trust of a certificate that was made here."""
    return settings.data_dir / "tls" / "ca.pem"


def made_here(settings: Settings) -> bool:
    """Whether the certificate in the settings is the one that `with_certificate` makes."""
    return Path(settings.tls_cert) == ca_file(settings).with_name("server.pem")


def own_trust(settings: Settings) -> ssl.SSLContext | bool:
    """What httpx is to verify this machine's own server by: its very certificate, by any name."""
    anchor = settings.tls_cert or (str(ca_file(settings)) if settings.tls else "")
    if not anchor:
        return True
    try:
        context = ssl.create_default_context(cafile=anchor)
    except OSError:
        # Never started with it; whoever connects is told that nothing answers.
        return True
    # The certificate may be for the name by which others reach it, and of any authority.
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _check(settings: Settings) -> None:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls_cert, settings.tls_key or None)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            "CASOLA_TLS_CERT and CASOLA_TLS_KEY are not a certificate with its chain and its key, "
            f"in PEM files that can be read: {error}."
        ) from error


def _names(settings: Settings) -> list[str]:
    """The names that the certificate has to have."""
    own = () if settings.host in _WILDCARDS else (settings.host,)
    return list(dict.fromkeys((*_LOCAL, *own, *settings.tls_names)))


def _will_do(server: Path, authority: Path, names: list[str]) -> bool:
    try:
        ca = x509.load_pem_x509_certificate(authority.read_bytes())
        cert = x509.load_pem_x509_certificate(server.read_bytes())
        cert.verify_directly_issued_by(ca)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(server)
        found = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    has = {str(name.value) for name in found}
    ends = cert.not_valid_after_utc - timedelta(days=RENEW_DAYS)
    return has.issuperset(names) and datetime.now(UTC) < ends


def _make(server: Path, authority: Path, names: list[str]) -> None:
    host = socket.gethostname()
    # Not needed on loopback, and in a container another one with each start.
    also = [host] if _HOST_NAME.fullmatch(host) and host not in names else []
    ca = trustme.CA(organization_name="Casola OCR", organization_unit_name=f"on {host[:40]}")
    now = datetime.now(UTC)
    try:
        made = ca.issue_cert(
            *names,
            *also,
            organization_name="Casola OCR",
            organization_unit_name="API",
            not_before=now - timedelta(days=1),
            not_after=now + timedelta(days=VALID_DAYS),
        )
    except ValueError as error:
        raise ConfigurationError(
            "CASOLA_TLS_NAMES holds what is no host name and no address."
        ) from error
    _write(authority, ca.cert_pem.bytes(), 0o644)
    _write(server, made.private_key_and_cert_chain_pem.bytes(), 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace a file at once: a start that is killed leaves the old one or the new one."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    fresh.replace(path)
