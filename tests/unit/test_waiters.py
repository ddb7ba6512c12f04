"""Seats for synchronous requests: one too many is told at once."""

from __future__ import annotations

from casola_ocr.waiters import Waiters


def test_a_seat_is_held_while_one_waits_and_free_afterwards() -> None:
    waiters = Waiters(1)
    with waiters.seat("a") as first, waiters.seat("a") as second:
        assert (first, second) == (True, False)
        assert waiters.full("a")
    assert not waiters.full("a")
    with waiters.seat("a") as again:
        assert again


def test_who_found_no_seat_gives_none_back() -> None:
    waiters = Waiters(1)
    with waiters.seat("a"):
        with waiters.seat("a"):
            pass
        assert waiters.full("a")


def test_a_server_without_seats_lets_nobody_wait() -> None:
    with Waiters(0).seat("a") as seated:
        assert not seated


def test_one_tenant_leaves_half_of_the_seats_to_others() -> None:
    waiters = Waiters(4)
    with waiters.seat("a"), waiters.seat("a"), waiters.seat("a") as third:
        assert not third
        assert waiters.full("a")
        with waiters.seat("b") as other:
            assert other
        with waiters.seat("b"), waiters.seat("c"):
            assert waiters.full("d")
    assert not waiters.full("a")


def test_who_is_alone_on_a_server_has_every_seat() -> None:
    waiters = Waiters(2, "local")
    with waiters.seat("local"), waiters.seat("local") as second:
        assert second
        assert waiters.full("local")
