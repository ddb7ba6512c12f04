"""Seats for synchronous requests: one too many is told at once."""

from __future__ import annotations

from casola_ocr.waiters import Waiters


def test_a_seat_is_held_while_one_waits_and_free_afterwards() -> None:
    waiters = Waiters(1)
    with waiters.seat() as first, waiters.seat() as second:
        assert (first, second) == (True, False)
        assert waiters.full()
    assert not waiters.full()
    with waiters.seat() as again:
        assert again


def test_who_found_no_seat_gives_none_back() -> None:
    waiters = Waiters(1)
    with waiters.seat():
        with waiters.seat():
            pass
        assert waiters.full()


def test_a_server_without_seats_lets_nobody_wait() -> None:
    with Waiters(0).seat() as seated:
        assert not seated
