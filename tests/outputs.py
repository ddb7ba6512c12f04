"""Outputs as DeepSeek-OCR writes them, and what a model told of their tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from casola_ocr.pages import PageResult
from casola_ocr.text.generated import Finish, Generated
from casola_ocr.text.generated_page import build_generated_page
from casola_ocr.text.traced import SPECIAL_TOKEN

#: A page of 999 by 1998 pixels: a coordinate is a pixel across and two down.
SIZE = (999, 1998)

_PIECE = re.compile(rf"{SPECIAL_TOKEN.pattern}|</?\w+>|\s?\w{{1,4}}|\s|.", re.S)

#: White space at the ends of lines is the model's.
PAPER = "".join(
    f"<|ref|>{label}<|/ref|><|det|>{boxes}<|/det|>\n{content}\n\n"
    for label, boxes, content in (
        ("header", "[[120, 30, 880, 45]]", "Journal of Reading, vol. 7"),
        ("title", "[[110, 60, 890, 100]]", "# A Study of Small Errors "),
        ("text", "[[300, 110, 700, 130]]", r"Ada Byron\(^{1}\), Karl Weiss\(^{2}\)  "),
        ("sub_title", "[[110, 150, 300, 170]]", "## **1. Introduction**"),
        (
            "text",
            "[[110, 180, 480, 400], [520, 180, 890, 300]]",
            "Errors that nobody sees are the worst. We\n"
            "define \\(e \\coloneqq 1 - p\\) for a<b.\n\n- first\n- second",
        ),
        ("equation", "[[200, 420, 800, 460]]", r"\[ E[x] = \sum_{i} p_i x_i \tag{1} \]"),
        ("image", "[[110, 480, 890, 700]]", "  "),
        (
            "image_caption",
            "[[110, 705, 890, 730]]",
            "<center>Figure 1 | What was read. </center> ",
        ),
        ("table_caption", "[[110, 740, 890, 755]]", "Table 1: Errors by kind & age"),
        (
            "table",
            "[[110, 760, 890, 900]]",
            '\n<table><tr><td rowspan="2">Kind</td><td colspan="2">Errors</td></tr>'
            "<tr><td>old</td><td>new</td></tr><tr><td>R&amp;D &lt;x&gt;</td><td>12</td>"
            r"<td>\(3 \pm 1\)</td></tr></table>",
        ),
        ("footer", "[[480, 960, 520, 975]]", "17"),
    )
)

RECEIPT = """CAFÉ CENTRAL
Main Street 12

1 x Espresso        2.50
2 x Croissant       5.80

TOTAL               8.30
CASH               10.00
CHANGE              1.70

Thank you!"""

CHINESE = """<|ref|>title<|/ref|><|det|>[[300, 50, 700, 90]]<|/det|>
# 关于加强安全管理的通知

<|ref|>text<|/ref|><|det|>[[100, 120, 900, 300]]<|/det|>
各部门：请于2024年5月1日前完成检查。
联系人：王小明。
"""


def grounded(label: str, boxes: Sequence[Sequence[int]], content: str) -> str:
    return f"<|ref|>{label}<|/ref|><|det|>{[list(box) for box in boxes]}<|/det|>\n{content}\n\n"


def generated(
    text: str,
    *,
    sure: float | None = -0.01,
    unsure: Mapping[str, float] | None = None,
    ranks: Sequence[int] | None = None,
    finish: Finish = "stop",
) -> Generated:
    """Tokens of up to four letters; those of `unsure` stretches have that log-probability."""
    starts = [match.start() for match in _PIECE.finditer(text)]
    logprobs = None
    if sure is not None:
        logprobs = [sure] * len(starts)
        for stretch, value in (unsure or {}).items():
            first = text.index(stretch)
            ends = [*starts[1:], len(text)]
            for token, (start, end) in enumerate(zip(starts, ends, strict=True)):
                if start < first + len(stretch) and end > first:
                    logprobs[token] = value
    return Generated(text=text, starts=starts, logprobs=logprobs, ranks=ranks, finish=finish)


def page_of(made: Generated, **more: Any) -> PageResult:
    values: dict[str, Any] = {
        "size": SIZE, "page": 1, "engine": "deepseek-ocr-v2", "engine_version": "1",
        "attempts": 1, "seconds": 0.5, "ink": 10_000.0, "greedy": True,
    }  # fmt: skip
    return build_generated_page(made, **{**values, **more})
