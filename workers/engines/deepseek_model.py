"""The weights of DeepSeek-OCR: where they are, and whether they are what they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from casola_ocr.errors import ConfigurationError

#: By engine: what its `config.json` calls the architecture.
ARCHITECTURES = {
    "deepseek-ocr": "DeepseekOCRForCausalLM",
    "deepseek-ocr-v2": "DeepseekOCR2ForCausalLM",
}
#: What a text ends with; the tokenizer of every version has it.
END = "<｜end▁of▁sentence｜>"
IMAGE = "<image>"
#: Cells of tables may repeat: vLLM's recipe for the model excepts them from the n-gram ban.
REPEATABLE = ("<td>", "</td>")
#: Something to encode and to get back: a tokenizer that transformers takes for another kind loses
#: the spaces (transformers#45488).
_ROUND_TRIP = "hello world, 12 € für Käse"


def find_model(engine: str, model: str) -> str:
    """The folder of a model that is given by its path or by its name on the hub.

    Nothing is downloaded: a worker that starts has what it needs, or says so.

    Raises:
        ConfigurationError: it is not there, or is another model.
    """
    folder = Path(model)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            folder = Path(snapshot_download(model, local_files_only=True))
        except (LocalEntryNotFoundError, HFValidationError, OSError):
            raise ConfigurationError(
                f"The model {model} of the engine '{engine}' is neither a folder nor in the hub's "
                f"cache. Get it first: hf download {model}"
            ) from None
    _check_architecture(engine, model, folder / "config.json")
    return str(folder)


def _check_architecture(engine: str, model: str, config: Path) -> None:
    try:
        found = json.loads(config.read_text("utf-8"))["architectures"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigurationError(f"The folder of the model {model} has no config.json.") from None
    if ARCHITECTURES[engine] not in found:
        raise ConfigurationError(
            f"The model {model} is {', '.join(map(str, found))}; the engine '{engine}' needs "
            f"{ARCHITECTURES[engine]}."
        )


class Vocabulary:
    """What a tokenizer's tokens are in bytes, and how prompts are told with them.

    Immutable; `begun` belongs to one thread, as tokenizers do.
    """

    def __init__(self, tokenizer: Any):
        """Read a tokenizer of transformers.

        Raises:
            ConfigurationError: it does not give back what it was given, or lacks a token.
        """
        added: dict[str, int] = tokenizer.get_added_vocab()
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        for token in (IMAGE, END):
            if token not in vocabulary:
                raise ConfigurationError(f"The model's tokenizer has no token {token}.")
        if tokenizer.bos_token_id is None:
            raise ConfigurationError("The model's tokenizer has no token that begins a text.")
        self._tokenizer = tokenizer
        self._begin: int = tokenizer.bos_token_id
        self.end = vocabulary[END]
        self.repeatable = [vocabulary[token] for token in REPEATABLE if token in vocabulary]
        letters = _byte_letters()
        self._bytes = {
            number: token.encode()
            if token in added
            else bytes(letters[letter] for letter in token if letter in letters)
            for token, number in vocabulary.items()
        }
        encoded = tokenizer.encode(_ROUND_TRIP, add_special_tokens=False)
        if b"".join(map(self.bytes_of, encoded)).decode(errors="replace") != _ROUND_TRIP:
            raise ConfigurationError(
                "The model's tokenizer does not give back what it was given; the installed "
                "version of transformers may take it for another kind."
            )

    def begun(self, prompt: str) -> list[int]:
        """The tokens of a prompt, after the one that begins a text (BOS), as the model learned it.

        Whether a tokenizer puts it there by itself depends on the version of transformers, whatever
        ``add_bos_token`` of its settings says: 5.19 does not.
        """
        return [self._begin, *self._tokenizer.encode(prompt, add_special_tokens=False)]

    def bytes_of(self, number: int) -> bytes:
        return self._bytes.get(number, b"")


def _byte_letters() -> dict[str, int]:
    """The letters by which byte-level BPE writes bytes in its vocabulary (GPT-2, 2019).

    Printable bytes stand for themselves, the others for the letters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + at): byte for at, byte in enumerate(others)
    }
