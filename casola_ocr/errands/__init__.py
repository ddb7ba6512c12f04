"""Errands: files of requests that are worked off while nobody waits.

OpenAI calls one a batch, Mistral a batch job. `shelf` keeps them and has the client's verbs;
`runner` works on them, in the reconciler. Everything about an errand is in the object store, each
object written by one side alone:

    errands/{tenant}/{errand_id}             marker: exists while there is something to do
    tenants/{tenant}/errands/{errand_id}/
        about.json                           what was asked for; never changed
        cancel.json                          that the client changed its mind
        content                              the requests, once they were found to be in order
        progress.json                        how far the runner came
        parts/{n:05}.json, .output, .error   what came of some lines; the first is put last
        outcome.json                         how it ended; wins over everything before it

A line becomes jobs under an idempotency key of its own, and a part is made only of jobs that have
ended. So whatever dies, the next runner submits what was submitted before once more, is given the
same jobs, and comes to the same parts.
"""

from casola_ocr.errands.model import Errand, ErrandStatus, LineError, Report
from casola_ocr.errands.shelf import Errands

__all__ = ["Errand", "ErrandStatus", "Errands", "LineError", "Report"]
