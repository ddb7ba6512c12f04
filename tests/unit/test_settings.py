from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from casola_ocr.errors import ConfigurationError
from casola_ocr.settings import Settings, environment, load_settings, unknown_variables


def test_an_odd_value_is_refused_and_named_but_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASOLA_MAX_FILE_MB", "2O")
    monkeypatch.setenv("CASOLA_LOG_LEVEL", "loud")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "CASOLA_MAX_FILE_MB" in caught.value.detail
    assert "CASOLA_LOG_LEVEL" in caught.value.detail
    assert "2O" not in caught.value.detail
    assert "loud" not in caught.value.detail


def test_an_empty_value_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASOLA_MAX_FILE_MB", "")
    assert load_settings().max_file_mb == 20


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASOLA_PORT", "9000")
    assert load_settings().port == 9000
    assert load_settings(port=9001, host=None).port == 9001


def test_a_secret_can_come_from_a_file_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    file.write_text("redis://:hunter2@valkey/0\n")
    monkeypatch.setenv("CASOLA_REDIS_URL_FILE", str(file))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter3")
    settings = load_settings()
    assert settings.redis_url.get_secret_value() == "redis://:hunter2@valkey/0"
    assert settings.aws_secret_access_key.get_secret_value() == "hunter3"
    assert "hunter" not in repr(settings) + str(settings)


def test_a_secret_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASOLA_REDIS_URL_FILE", "/nowhere/at/all")
    with pytest.raises(ConfigurationError, match="CASOLA_REDIS_URL_FILE"):
        load_settings()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1


def test_settings_survive_the_way_through_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        port=9, engines="pp-ocrv6, tesseract", fetch_allow_networks=["10.0.0.0/8"],
        data_dir=Path("/data"), redis_url="redis://:x@h/0",
    )  # fmt: skip
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [("CASOLA_OBJECT_STORE", "ftp://x"), ("CASOLA_FETCH_ALLOW_NETWORKS", "localhost")],
)
def test_a_value_of_the_wrong_kind_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        load_settings()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),  # noqa: S104
     ("192.168.1.5", False), ("example.org", False)],
)  # fmt: skip
def test_only_this_machine_counts_as_loopback(host: str, loopback: bool) -> None:
    assert Settings(host=host).loopback is loopback


def test_a_misspelt_variable_is_noticed() -> None:
    (sentence,) = unknown_variables({"CASOLA_MAX_FIEL_MB": "1", "CASOLA_PORT": "1", "PATH": "/"})
    assert "CASOLA_MAX_FIEL_MB" in sentence
    assert "CASOLA_MAX_FILE_MB" in sentence
