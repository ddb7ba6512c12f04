from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from casola_ocr import cli
from casola_ocr.sample import sample_image

runner = CliRunner()


@pytest.mark.parametrize(
    "command",
    ["serve", "worker", "api", "reconcile", "read", "doctor", "recover", "settings",
     "tenants create", "tokens create", "tokens list", "tokens revoke",
     "webhooks secret", "webhooks rotate"],
)  # fmt: skip
def test_every_command_explains_itself(command: str) -> None:
    done = runner.invoke(cli.app, [*command.split(), "--help"])
    assert done.exit_code == 0
    assert len(done.output) > 100


def test_the_doctor_says_how_to_install_tesseract_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CASOLA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    printed = runner.invoke(cli.app, ["doctor"]).output
    assert "tesseract: not installed" in printed
    assert "apt-get install tesseract-ocr tesseract-ocr-osd tesseract-ocr-eng" in printed
    assert "PP-OCRv6_rec_small" in printed


def test_the_doctor_says_which_language_data_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A Tesseract that knows English only.
    program = tmp_path / "tesseract"
    program.write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo tesseract 5.9 || printf 'List:\\neng\\n'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("CASOLA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    printed = runner.invoke(cli.app, ["doctor"]).output
    assert "tesseract 5.9" in printed
    assert (
        "tesseract-ocr-chi-sim tesseract-ocr-chi-tra' brings es, fr, de, it, pt, ru, ja" in printed
    )
    assert "tesseract-ocr-eng" not in printed


def test_a_wrong_setting_is_one_sentence_and_no_stack_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CASOLA_PORT", "eighty")
    monkeypatch.setattr("sys.argv", ["casola-ocr", "settings"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert "CASOLA_PORT" in printed
    assert "Traceback" not in printed


def test_reading_without_a_server_says_how_to_start_one(tmp_path: object) -> None:
    scan = tmp_path / "scan.png"
    scan.write_bytes(sample_image())
    done = runner.invoke(cli.app, ["read", str(scan), "--server", "http://127.0.0.1:1"])
    assert done.exit_code == 3
    assert "casola-ocr serve" in done.stderr


def test_a_file_that_is_missing_does_not_keep_the_others_from_being_read(tmp_path: object) -> None:
    scan = tmp_path / "scan.png"
    scan.write_bytes(sample_image())
    done = runner.invoke(
        cli.app, ["read", "/does/not/exist.png", str(scan), "--server", "http://127.0.0.1:1"]
    )
    assert "exist.png: No such file" in done.stderr
    assert "No server answers" in done.stderr


def test_settings_are_listed_on_one_line_each_with_secrets_masked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CASOLA_REDIS_URL", "redis://:hidden@localhost/0")
    printed = runner.invoke(cli.app, ["settings"]).stdout
    assert "hidden" not in printed
    (line,) = [line for line in printed.splitlines() if "CASOLA_MAX_FILE_MB" in line]
    assert line.split()[1:3] == ["20", "20"]


def test_a_token_is_shown_once_and_only_its_id_afterwards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("CASOLA_DATA_DIR", str(tmp_path))
    assert runner.invoke(cli.app, ["tokens", "create", "--tenant", "acme"]).exit_code != 0
    assert runner.invoke(cli.app, ["tenants", "create", "acme"]).exit_code == 0
    secret = runner.invoke(cli.app, ["tokens", "create", "--tenant", "acme"]).stdout.strip()
    assert secret.startswith("casola_")
    listed = runner.invoke(cli.app, ["tokens", "list"]).stdout
    assert "acme" in listed
    assert secret not in listed
    files = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(secret in text for text in files)
