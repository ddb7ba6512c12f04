"""Writes docs/errors.md from the error tree: ``python docs/make_errors.py``."""

from pathlib import Path

from casola_ocr.errors import ObjectNotFound, all_errors

HEAD = """# Errors

Made from `casola_ocr/errors.py` by `python docs/make_errors.py`; a test keeps them equal.

Own routes answer `application/problem+json` with `code`, `detail`, `advice` and `retryable`; the
fal and OpenAI routes answer in their vendor's shape. A failed job or page carries `{code, detail}`
in `error`. `retryable` means: the same request can succeed later; 429 and 503 say when in
`Retry-After`.

| code | HTTP | retry | what happened | what to do |
|---|---|---|---|---|
"""


def render() -> str:
    rows = [
        f"| `{error.code}` | {error.status} | {'yes' if error.retryable else 'no'} "
        f"| {(error.__doc__ or '').strip()} | {error.advice} |"
        for error in all_errors()
        if error is not ObjectNotFound
    ]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("errors.md").write_text(render(), encoding="utf-8")
