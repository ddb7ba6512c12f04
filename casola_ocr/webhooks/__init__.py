"""Telling others that a job ended; what users see of it is in docs/webhooks.md."""
