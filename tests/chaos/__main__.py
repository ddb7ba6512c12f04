"""``python -m tests.chaos``: load, faults, and what became of the promises. Exit status 1 if any
was broken.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tests.chaos.faults import KINDS, kinds_for
from tests.chaos.run import VERBS, RunSettings, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", default="all", help=f"all, none, or some of {','.join(KINDS)}")
    parser.add_argument("--without", default="", help="faults that are left out of 'all'")
    parser.add_argument("--store", choices=("s3", "directory"), default="s3")
    parser.add_argument("--verbs", default="all", help=f"all, none, or some of {','.join(VERBS)}")
    parser.add_argument("--lease", type=int, default=0, help="seconds; 0 = the service's default")
    parser.add_argument("--open", type=int, default=200, help="most jobs that are open at once")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--folder", type=Path, help="kept; else a temporary one, kept on failure")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    every = kinds_for(given.store)
    left_out = _names(parser, given.without, every, list(KINDS))
    report = run(
        RunSettings(
            seconds=given.seconds,
            seed=given.seed,
            faults=tuple(
                name for name in _names(parser, given.faults, every, every) if name not in left_out
            ),
            store=given.store,
            verbs=frozenset(_names(parser, given.verbs, list(VERBS), list(VERBS))),
            lease_seconds=given.lease,
            most_open=given.open,
            folder=given.folder,
        ),
        say=_say,
    )
    _say(report.text())
    if given.report:
        report.write(given.report)
    return 0 if report.ok else 1


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program for a terminal


def _names(
    parser: argparse.ArgumentParser, text: str, every: list[str], known: list[str]
) -> list[str]:
    if text == "all":
        return every
    names = [name for name in text.split(",") if name and name != "none"]
    for name in names:
        if name not in known:
            parser.error(f"{name!r} is not one of {', '.join(known)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
