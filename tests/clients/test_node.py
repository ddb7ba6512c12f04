"""`run_node` itself: a script that fails or skips is not taken for one that passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.node import passed, run_node

IMPORT = "import { test } from 'node:test'; import assert from 'node:assert';"


@pytest.mark.parametrize(
    ("body", "good"),
    [
        ("test('a', () => assert.equal(process.env.WORD, 'x'));", True),
        ("test('a', () => assert.equal(1, 2));", False),
        ("test('a', { skip: true }, () => {});", False),
    ],
)
def test_only_a_script_whose_tests_all_ran_has_passed(
    tmp_path: Path, body: str, good: bool
) -> None:
    script = tmp_path / "a.test.mjs"
    script.write_text(f"{IMPORT}\n{body}\n")
    ran = run_node(str(script), {"WORD": "x"})
    if good:
        passed(ran)
    else:
        with pytest.raises((AssertionError, KeyError)):
            passed(ran)
