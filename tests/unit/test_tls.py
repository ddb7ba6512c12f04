"""The certificate that `serve --tls` makes, and those of others."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509

from casola_ocr import tls
from casola_ocr.errors import ConfigurationError
from casola_ocr.gunicorn_api import options
from casola_ocr.settings import Settings, load_settings


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(data_dir=folder, **{"tls": True, **more})


def served(made: Settings) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(made.tls_cert).read_bytes())


def names(made: Settings) -> set[str]:
    found = served(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}


def test_a_certificate_for_this_machine_is_made_and_signed_by_what_clients_trust(
    tmp_path: Path,
) -> None:
    made = tls.with_certificate(settings(tmp_path, tls_names="ocr.example.com,10.1.2.3"))
    authority = x509.load_pem_x509_certificate(tls.ca_file(made).read_bytes())
    served(made).verify_directly_issued_by(authority)
    assert names(made) >= {"localhost", "127.0.0.1", "::1", "ocr.example.com", "10.1.2.3"}
    assert tls.made_here(made)
    assert options(made)["certfile"] == options(made)["keyfile"] == made.tls_cert
    ends = served(made).not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=800) < ends <= timedelta(days=825)


def test_only_the_owner_reads_the_key_and_nobody_has_the_authoritys(tmp_path: Path) -> None:
    made = tls.with_certificate(settings(tmp_path))
    keyed = [path for path in (tmp_path / "tls").iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert keyed == [Path(made.tls_cert)]
    assert stat.S_IMODE(keyed[0].stat().st_mode) == 0o600
    assert Path(made.tls_cert).read_bytes().count(b"PRIVATE KEY-----") == 2


def test_a_second_start_has_the_same_certificate(tmp_path: Path) -> None:
    first = tls.ca_file(tls.with_certificate(settings(tmp_path))).read_bytes()
    again = tls.with_certificate(settings(tmp_path))
    assert tls.ca_file(again).read_bytes() == first


@pytest.mark.parametrize("what", ["a new name", "soon over", "damaged", "torn"])
def test_one_that_will_not_do_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    asked = settings(tmp_path)
    before = served(tls.with_certificate(asked)).serial_number
    if what == "a new name":
        asked = settings(tmp_path, tls_names="ocr.example.com")
    elif what == "soon over":
        monkeypatch.setattr(tls, "RENEW_DAYS", 826)
    elif what == "damaged":
        (tmp_path / "tls" / "server.pem").write_bytes(b"x")
    else:
        other = trustme.CA().cert_pem.bytes()
        tls.ca_file(asked).write_bytes(other)
    made = tls.with_certificate(asked)
    assert served(made).serial_number != before
    authority = x509.load_pem_x509_certificate(tls.ca_file(made).read_bytes())
    served(made).verify_directly_issued_by(authority)


def test_a_certificate_of_ones_own_is_taken_with_its_key_beside_it_or_in_it(
    tmp_path: Path,
) -> None:
    leaf = trustme.CA().issue_cert("ocr.example.com")
    chain, key, both = tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "both.pem"
    leaf.cert_chain_pems[0].write_to_path(chain)
    leaf.private_key_pem.write_to_path(key)
    leaf.private_key_and_cert_chain_pem.write_to_path(both)
    for given in ({"tls_cert": str(chain), "tls_key": str(key)}, {"tls_cert": str(both)}):
        made = tls.with_certificate(Settings(data_dir=tmp_path, **given))
        assert made.uses_tls and not tls.made_here(made)
        assert isinstance(tls.own_trust(made), ssl.SSLContext)
    with pytest.raises(ConfigurationError, match="CASOLA_TLS_CERT"):
        tls.with_certificate(Settings(data_dir=tmp_path, tls_cert=str(chain)))
    with pytest.raises(ConfigurationError, match="CASOLA_TLS_CERT"):
        tls.with_certificate(Settings(data_dir=tmp_path, tls_cert=str(tmp_path / "none.pem")))


def test_without_tls_nothing_is_made(tmp_path: Path) -> None:
    made = tls.with_certificate(settings(tmp_path, tls=False))
    assert not made.uses_tls
    assert list(tmp_path.iterdir()) == []
    assert tls.own_trust(made) is True
    assert options(made)["certfile"] is None


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CASOLA_TLS_NAMES"):
        tls.with_certificate(settings(tmp_path, tls_names="no name"))
    with pytest.raises(ConfigurationError, match=r"CASOLA_TLS_KEY: .*not set"):
        load_settings(tls_key="/key.pem")
    with pytest.raises(ConfigurationError, match="CASOLA_CORS_ORIGINS"):
        load_settings(cors_origins="*")
