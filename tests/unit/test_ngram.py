from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ngram_reference import banned_by_reference
from workers.engines.ngram import Ban, asked, banned

#: Few different tokens, so that much repeats.
outputs = st.lists(st.integers(0, 3), max_size=40)
bans = st.builds(
    Ban,
    size=st.integers(1, 6),
    window=st.integers(1, 45),
    allowed=st.frozensets(st.integers(0, 3), max_size=2),
)


def test_what_followed_the_same_tokens_before_is_banned() -> None:
    assert banned([1, 2, 3, 1, 2], Ban(size=3)) == {3}
    assert banned([1, 2, 3, 1, 2, 4, 1, 2], Ban(size=3)) == {3, 4}
    assert banned([1, 2, 3, 2, 1], Ban(size=3)) == set()


def test_tokens_may_run_into_themselves() -> None:
    assert banned([7, 7, 7], Ban(size=3)) == {7}


def test_an_allowed_token_may_always_follow() -> None:
    assert banned([1, 2, 3, 1, 2], Ban(size=3, allowed=frozenset({3}))) == set()


def test_what_began_before_the_window_is_forgotten() -> None:
    assert banned([1, 2, 3, 1, 2], Ban(size=3, window=5)) == {3}
    assert banned([1, 2, 3, 1, 2], Ban(size=3, window=4)) == set()


@given(outputs, bans)
def test_bans_what_the_reference_bans(output: list[int], ban: Ban) -> None:
    assert banned(output, ban) == banned_by_reference(output, ban)


@given(bans)
def test_a_ban_asked_for_is_the_ban_understood(ban: Ban) -> None:
    assert asked(ban.extra_args()) == ban


def test_nothing_asked_is_no_ban() -> None:
    assert asked(None) is None
    assert asked({}) is None
    assert asked({"window_size": 90}) is None


@pytest.mark.parametrize(
    "wrong",
    [{"ngram_size": 0}, {"ngram_size": "30"}, {"ngram_size": True}, {"window_size": -1},
     {"window_size": 1.5}, {"whitelist_token_ids": 5}, {"whitelist_token_ids": ["<td>"]}],
)  # fmt: skip
def test_a_wrong_wish_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"has to be|have to be"):
        asked({"ngram_size": 30} | wrong)
