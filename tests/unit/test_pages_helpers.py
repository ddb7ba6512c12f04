from __future__ import annotations

from tests.pages import cer, draw_page


def test_pages_helpers():
    assert cer("a  b\nc", "a b c") == 0
    assert cer("abcd", "abxd") == 0.25
    assert cer("", "") == 0
    assert cer("", "x") == 1
    page = draw_page(["Hello"], rotate=3, noise=0.2, seed=1)
    assert page.tobytes() == draw_page(["Hello"], rotate=3, noise=0.2, seed=1).tobytes()
    assert page.mode == "RGB"
