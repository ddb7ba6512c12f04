"""The chaos suite, short: both stores, every kind of fault. `make chaos` is the long run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.faults import KINDS, kinds_for, schedule
from tests.chaos.run import RunSettings, missing_faults, run
from tests.conftest import missing

pytestmark = pytest.mark.chaos

#: With this seed the two short runs have every kind of fault between them.
SEED = 37
SECONDS = 75.0
#: Short leases, so that what a stopped worker holds is given to another within the run.
LEASE_SECONDS = 6
STORES = ("s3", "directory")


def test_the_short_runs_have_every_kind_of_fault() -> None:
    planned = {
        fault.kind for store in STORES for fault in schedule(SEED, SECONDS, kinds_for(store))
    }
    assert planned == set(KINDS)


@pytest.mark.parametrize("store", STORES)
def test_nothing_that_was_accepted_is_lost(store: str, tmp_path: Path) -> None:
    impossible = missing_faults(store)
    if impossible and os.environ.get("CI"):
        missing(", ".join(impossible.values()))
    report = run(
        RunSettings(
            seconds=SECONDS,
            seed=SEED,
            faults=tuple(name for name in kinds_for(store) if name not in impossible),
            store=store,
            lease_seconds=LEASE_SECONDS,
            folder=tmp_path / "chaos",
        ),
        say=lambda _: None,
    )
    assert report.ok, report.text()
    assert report.outcome["jobs LOST"] == 0
    assert report.outcome["pages done"] > 100, "a run without work proves nothing"
