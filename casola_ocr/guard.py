"""What keeps a worker's claims alive and stops what runs for a lost one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from casola_ocr.model import Claim


class StepStopped(BaseException):
    """The claim was lost while its step ran: its job was cancelled, or the worker is to leave.

    Not an `Exception`, so that no handler of an engine's own takes it for a failure.
    """


class StepLost(Exception):
    """The claim was lost before its outcome was written: another attempt won, or the job ended."""


class Guard(Protocol):
    """Keeps claims alive, and stops what runs for a claim that was lost."""

    def hold(self, claim: Claim) -> AbstractContextManager[object]:
        """Send heartbeats for the claim while the context is open."""

    def begin(self, claim: Claim) -> AbstractContextManager[object]:
        """Wait until the page may be worked on; its decoding and reading are done in here.

        Raises:
            StepStopped: the claim was lost before that.
        """

    def interruptible(self, claim: Claim) -> AbstractContextManager[object]:
        """Let `StepStopped` be raised in here once the claim is lost."""
