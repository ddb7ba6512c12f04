"""Which files are read, and where what comes of them is written."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from casola_ocr.client.sources import documents_below, is_document
from casola_ocr.documents.names import MAX_NAME_BYTES, cut_name
from casola_ocr.exports import FORMATS

#: What stands around a name: a number, a format's suffix, and what an unfinished file is called.
_MOST_AROUND = len("-1000000") + max(len(made.suffix) for made in FORMATS.values()) + len("..part")
_MOST_BYTES = MAX_NAME_BYTES - _MOST_AROUND


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file, and the folder from which its place below ``--out`` counts."""

    path: Path
    root: Path


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file that is to be read; `outputs` are formats with the files that hold them."""

    path: Path
    outputs: tuple[tuple[str, Path], ...] = ()

    def is_done(self) -> bool:
        """Whether every output exists and is not older than the source."""
        try:
            changed = self.path.stat().st_mtime_ns
            return bool(self.outputs) and all(
                output.stat().st_mtime_ns >= changed for _, output in self.outputs
            )
        except FileNotFoundError:
            return False

    def leave_undone(self) -> None:
        """Make the outputs older than the source: pages miss, so the next run looks again."""
        before = self.path.stat().st_mtime_ns - 1_000_000_000
        for _, output in self.outputs:
            os.utime(output, ns=(before, before))


def collect(arguments: Sequence[str], out: Path | None) -> tuple[list[Found], list[str]]:
    """The files that the arguments name, and a sentence for each argument that names none.

    A file is taken as it is. Of a folder, and of a pattern that the shell left, those are taken
    that are in a format that can be read; hidden ones and those below `out` are not.
    """
    found: dict[Path, Found] = {}
    problems = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            members = [Found(path=file, root=path) for file in documents_below(path, out)]
        elif glob.has_magic(argument) and not path.exists():
            members = list(_matching(argument, out))
        else:
            members = [Found(path=path, root=path.parent)]
        if not members:
            problems.append(f"{argument}: no document that can be read is there")
        for member in members:
            found.setdefault(member.path.absolute(), member)
    return list(found.values()), problems


def plan(found: Sequence[Found], formats: Sequence[str], out: Path | None) -> list[Source]:
    """Name the outputs: beside the source, or in `out` with the folders below the root.

    ``scan.png`` becomes ``scan.txt``; where another source has the same name but for its ending,
    ``scan.png.txt``; and where that is another's too, because it comes from elsewhere, it is
    numbered. Names that would be too long for a disk are cut.
    """
    places = [
        out / file.path.parent.relative_to(file.root) if out else file.path.parent for file in found
    ]
    stems = [
        (place, cut_name(file.path.stem, _MOST_BYTES).casefold())
        for place, file in zip(places, found, strict=True)
    ]
    shared = Counter(stems)
    taken: Counter[tuple[Path, str]] = Counter()
    made = []
    for file, place, stem in zip(found, places, stems, strict=True):
        name = file.path.stem if shared[stem] == 1 else file.path.name
        name = cut_name(name, _MOST_BYTES)
        taken[place, name.casefold()] += 1
        if (count := taken[place, name.casefold()]) > 1:
            name = f"{name}-{count}"
        outputs = tuple((format, place / f"{name}{FORMATS[format].suffix}") for format in formats)
        made.append(Source(path=file.path, outputs=outputs))
    return made


def _matching(pattern: str, out: Path | None) -> Iterator[Found]:
    fixed = takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    root = Path(*fixed)
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - it may be absolute
        path = Path(match)
        files = documents_below(path, out) if path.is_dir() else filter(is_document, [path])
        yield from (Found(path=file, root=root) for file in files)
