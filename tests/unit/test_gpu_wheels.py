"""What is carried to a machine without a network arrives whole, or is refused."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.gpu_wheels import needed, pack, requirements_of, write_stub


def wheel(folder: Path, name: str, content: str, needs: str = "") -> Path:
    """A wheel with one module."""
    information = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": content,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{information}/RECORD"])
    made = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in {**files, f"{information}/RECORD": record}.items():
            archive.writestr(path, text)
    return made


@pytest.fixture
def carried(tmp_path: Path) -> Path:
    """Two wheels, one larger than a part."""
    wheels, folder = tmp_path / "wheels", tmp_path / "carried"
    wheels.mkdir()
    folder.mkdir()
    noise = random.Random(1).randbytes(30_000).hex()
    wheel(wheels, "carried_large", f"NOISE = '{noise}'\n")
    wheel(wheels, "carried_small", "ANSWER = 42\n")
    parts = pack(wheels, folder, part_bytes=20_000)
    assert len(parts) > 3
    assert max(part.stat().st_size for part in parts) <= 20_000
    return folder


def install(folder: Path, venv: Path) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(folder / "install.sh"), str(venv), sys.executable]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_parts_are_joined_and_installed_beside_what_is_there(
    carried: Path, tmp_path: Path
) -> None:
    done = install(carried, tmp_path / "venv")
    assert done.returncode == 0, done.stderr
    # pytest is of the environment that the new one was made from.
    code = "import carried_large, carried_small, pytest; print(carried_large.NOISE)"
    told = subprocess.run(
        [str(tmp_path / "venv" / "bin" / "python"), "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = random.Random(1).randbytes(30_000).hex()
    assert hashlib.sha256(told.stdout.strip().encode()).digest() == (
        hashlib.sha256(expected.encode()).digest()
    )


def test_a_part_that_changed_on_the_way_is_refused(carried: Path, tmp_path: Path) -> None:
    part = carried / "wheels.tar.001"
    part.write_bytes(b"x" + part.read_bytes()[1:])
    done = install(carried, tmp_path / "venv")
    assert done.returncode != 0
    assert part.name in done.stdout + done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_part_that_is_missing_is_refused(carried: Path, tmp_path: Path) -> None:
    (carried / "wheels.tar.002").unlink()
    assert install(carried, tmp_path / "venv").returncode != 0


def test_a_second_packing_leaves_nothing_of_the_first(carried: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    wheel(few, "carried_small", "ANSWER = 42\n")
    parts = pack(few, carried, part_bytes=20_000)
    assert sorted(carried.glob("wheels.tar*")) == parts


def test_only_what_the_other_machine_lacks_is_carried(tmp_path: Path) -> None:
    made = wheel(
        tmp_path,
        "asking",
        "",
        "Requires-Dist: torch==2.11.0\n"
        "Requires-Dist: Flashinfer_Cubin==0.6\n"
        'Requires-Dist: numba==0.65; platform_machine == "x86_64"\n'
        'Requires-Dist: old-thing; python_version < "3.12"\n'
        'Requires-Dist: for-tests; extra == "test"\n',
    )
    asked = requirements_of(made)
    assert len(asked) == 5
    assert needed(asked, ["torch", "flashinfer-*"]) == ["numba==0.65"]


def test_an_empty_wheel_stands_for_what_is_there_already(tmp_path: Path) -> None:
    write_stub(tmp_path, "torch", "2.11.0")
    wheel(tmp_path, "asking", "", "Requires-Dist: torch==2.11.0\n")
    found = tmp_path / "found"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-index", "--dest"]
    subprocess.run([*command, str(found), "--find-links", str(tmp_path), "asking"], check=True)
    assert sorted(path.name for path in found.iterdir()) == [
        "asking-1.0-py3-none-any.whl",
        "torch-2.11.0+there-py3-none-any.whl",
    ]
