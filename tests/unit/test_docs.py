"""Documents that are made from the code are equal to it."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_errors_md_is_what_the_error_tree_says() -> None:
    render = runpy.run_path(str(DOCS / "make_errors.py"))["render"]
    assert (DOCS / "errors.md").read_text(encoding="utf-8") == render()
