"""Carry vLLM to a machine with a GPU and no network: wheels, cut into parts that can be copied.

    python -m benchmarks.gpu_wheels FOLDER [--vllm 0.26.0] [--torch 2.11.0] [--leave-out NAME ...]

Downloads with pip, from whatever index pip is told to use, what vLLM and Casola OCR need under
CPython 3.12 on x86-64 Linux. Not torch and what belongs to it: the machine has it, vLLM 0.20 to
0.27 are built for its version 2.11. Not what vLLM needs only for video and for kernels of other
models (`LEFT_OUT`).

FOLDER then has `wheels.tar.000` … of less than 60 MiB each, `SHA256SUMS`, and `install.sh`. On the
other machine, with all of them in one folder and a python3 that has torch:

    sh install.sh VENV && VENV/bin/python -m benchmarks.gpu_throughput --dummy-weights
"""

from __future__ import annotations

import argparse
import email
import fnmatch
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PART_BYTES = 56 * 1024 * 1024
PYTHON = "3.12"
#: For the markers of requirements: not this machine, but the one with the GPU.
TARGET = {
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "extra": "",
}
#: What pip may take: newer tags first.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (34, 31, 28, 27, 24, 17)]
#: Names, with wildcards, of what only video and other models' kernels need; OpenVINO only the CPU
#: engines.
LEFT_OUT = (
    "cuda-tile", "flashinfer-*", "humming-kernels", "nvidia-*", "openvino", "pynvvideocodec",
    "quack-kernels", "tilelang", "tokenspeed-mla", "torchcodec",
)  # fmt: skip

INSTALL = """\
#!/bin/sh
# Join, check and install; nothing is downloaded. sh install.sh VENV [PYTHON]
set -eu
venv=${1:?the folder of the environment to make}
python=${2:-python3}
here=$(cd "$(dirname "$0")" && pwd)
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
(cd "$here" && sha256sum --check --quiet SHA256SUMS)
cat "$here"/wheels.tar.[0-9]* | tar -xf - -C "$wheels"
"$python" -m venv --without-pip --system-site-packages "$venv"
# Where python is itself of an environment, that one's packages are not the system's.
"$python" -c 'import site; print(*site.getsitepackages(), sep="\\n")' \\
  >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/parent.pth"
"$python" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check \\
  --no-index --no-deps --ignore-installed "$wheels"/*.whl
"""


def main() -> None:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("folder", type=Path)
    made.add_argument("--vllm", default="0.26.0")
    made.add_argument("--torch", default="2.11.0", help="what the machine has")
    made.add_argument("--leave-out", nargs="*", default=LEFT_OUT, metavar="NAME")
    chosen = made.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpu-wheels-") as temporary:
        wheels = Path(temporary) / "wheels"
        download(wheels, chosen.vllm, chosen.torch, chosen.leave_out)
        parts = pack(wheels, chosen.folder)
    for part in parts:
        print(part.name, f"{part.stat().st_size / 1024**2:.1f} MiB")


def download(wheels: Path, vllm: str, torch: str, left_out: Iterable[str]) -> None:
    """Fill a folder with the wheels of vLLM, of this project, and of what both need."""
    pip("download", "--no-deps", *_for_target(), "--dest", str(wheels), f"vllm=={vllm}")
    pip("wheel", "--no-deps", "--wheel-dir", str(wheels), str(ROOT))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [
        *requirements_of(next(wheels.glob("vllm-*.whl"))),
        *project["dependencies"],
        *project["optional-dependencies"]["test"],
    ]
    wanted = needed(asked, [*left_out, "torch", "torchvision", "torchaudio", "triton"])
    # Some libraries ask for torch themselves. pip has no way to leave it out, so it gets an empty
    # wheel, which is taken since a local version comes after the plain one.
    with tempfile.TemporaryDirectory(prefix="gpu-wheels-") as temporary:
        stub = write_stub(Path(temporary), "torch", torch)
        found = ["--find-links", temporary, "--dest", str(wheels)]
        pip("download", *_for_target(), *found, *wanted, f"torch=={torch}")
    (wheels / stub.name).unlink()


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)


def _for_target() -> list[str]:
    platforms = [f"--platform={name}" for name in PLATFORMS]
    return ["--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}", *platforms]


def requirements_of(wheel: Path) -> list[str]:
    """What a wheel says that it needs."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    return [str(line) for line in metadata.get_all("Requires-Dist", [])]


def needed(
    asked: Iterable[str], left_out: Iterable[str], target: Mapping[str, str] = TARGET
) -> list[str]:
    """What of some requirements has to be carried to the target."""
    patterns = list(left_out)
    carried = []
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            continue
        if requirement.marker is None or requirement.marker.evaluate(dict(target)):
            requirement.marker = None
            carried.append(str(requirement))
    return carried


def write_stub(folder: Path, name: str, version: str) -> Path:
    """Write a wheel that has nothing in it but its name."""
    local = f"{version}+there"
    information = f"{name}-{local}.dist-info"
    files = {
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {local}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{information}/RECORD"])
    wheel = folder / f"{name}-{local}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in {**files, f"{information}/RECORD": record}.items():
            archive.writestr(path, content)
    return wheel


def pack(wheels: Path, folder: Path, part_bytes: int = PART_BYTES) -> list[Path]:
    """Write all wheels of a folder as parts, their sums, and what installs them; return the parts.

    The parts of an earlier run are replaced.
    """
    for old in folder.glob("wheels.tar*"):
        old.unlink()
    whole = folder / "wheels.tar"
    with tarfile.open(whole, "w") as archive:
        for wheel in sorted(wheels.glob("*.whl")):
            archive.add(wheel, wheel.name)
    parts, sums = [], []
    with whole.open("rb") as source:
        while piece := source.read(part_bytes):
            part = folder / f"wheels.tar.{len(parts):03}"
            part.write_bytes(piece)
            parts.append(part)
            sums.append(f"{hashlib.sha256(piece).hexdigest()}  {part.name}\n")
    whole.unlink()
    (folder / "SHA256SUMS").write_text("".join(sums))
    (folder / "install.sh").write_text(INSTALL)
    return parts


if __name__ == "__main__":
    main()
