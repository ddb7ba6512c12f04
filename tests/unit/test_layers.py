"""Imports point one way: api → casola_ocr ← workers; and libraries stay in their rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Room → what must not be imported in it.
FORBIDDEN = {
    "casola_ocr": {"api", "workers", "tests", "benchmarks", "flask", "celery", "rapidocr",
                   "onnxruntime", "torch", "vllm"},
    "api": {"workers", "tests", "benchmarks", "rapidocr", "onnxruntime", "redis", "boto3", "torch"},
    "workers": {"api", "tests", "benchmarks", "flask", "redis", "boto3"},
}  # fmt: skip

#: Libraries that exactly one file of the product may import.
ONE_HOME = {
    "redis": "casola_ocr/records/connection.py",
    "boto3": "casola_ocr/objects/s3.py",
    "ijson": "casola_ocr/pages.py",
    "rapidocr": "workers/engines/ppocr.py",
    "pypdfium2": "casola_ocr/documents/pdf.py",
    "pillow_heif": "casola_ocr/documents/images.py",
}


def modules(file: Path) -> Iterator[str]:
    """What a file imports; of ``from a import b`` both ``a`` and ``a.b``."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def imports(file: Path) -> Iterator[str]:
    return (module.split(".")[0] for module in modules(file))


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    wrong = {
        str(file.relative_to(ROOT)): sorted(found)
        for file in files
        if (found := FORBIDDEN[room] & set(imports(file)))
    }
    assert wrong == {}


def test_wire_formats_know_neither_errands_nor_webhooks() -> None:
    files = list((ROOT / "casola_ocr/wire").rglob("*.py"))
    assert files
    found = {(file.name, module) for file in files for module in modules(file)}
    unwanted = ("casola_ocr.errands", "casola_ocr.webhooks")
    assert {(name, module) for name, module in found if module.startswith(unwanted)} == set()


def test_each_backend_library_has_one_home() -> None:
    for library, home in ONE_HOME.items():
        users = [
            str(file.relative_to(ROOT))
            for room in FORBIDDEN
            for file in (ROOT / room).rglob("*.py")
            if library in set(imports(file))
        ]
        assert users == [home], library


def test_the_api_and_a_worker_start_without_the_libraries_of_rare_documents() -> None:
    code = (
        "import sys, api.app, workers.main; "
        "print(sorted({'pypdfium2', 'pillow_heif'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_only_settings_reads_the_environment() -> None:
    # embedded hands the environment on to its children, the worker sets thread counts before the
    # fork, the command line looks for misspelt names, Tesseract's engine hands its program nothing
    # but a few of them, and vLLM is told much by its environment alone.
    allowed = {"casola_ocr/settings.py", "casola_ocr/cli.py", "workers/main.py",
               "workers/engines/tesseract.py", "workers/engines/vllm_engine.py",
               "workers/engines/vllm_plugin.py"}  # fmt: skip
    users = {
        str(file.relative_to(ROOT))
        for room in FORBIDDEN
        for file in (ROOT / room).rglob("*.py")
        if "os.environ" in file.read_text(encoding="utf-8")
    }
    assert {name for name in users if "embedded" not in name} <= allowed
