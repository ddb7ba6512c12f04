"""What every process of the vLLM tests does to itself; Python runs this file, in vLLM's too.

It does nothing until the modules are imported that it is about.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_kept: list[Any] = []


class _Before(importlib.abc.MetaPathFinder):
    """Does something once, just before one of these modules is imported for the first time."""

    def __init__(self, modules: Sequence[str], do: Callable[[], None]):
        self._modules = modules
        self._do = do

    def find_spec(
        self, module: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if module in self._modules:
            sys.meta_path.remove(self)
            self._do()


def _describe_operators() -> None:
    """Let the torchvision of the index import beside a torch without CUDA.

    Its build is for CUDA: its operators do not load, and it fails when it describes two of them.
    DeepSeek-OCR's processor needs only its transforms.
    """
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in "nms", "qnms":
        library.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    _kept.append(library)


def _make_shallow() -> None:
    """Make the vision encoders of two layers each, as the checkpoints' language model is.

    vLLM has their sizes in its code: 12 layers of SAM, 24 of CLIP or Qwen2. One page through them
    takes two cores 10 seconds, and nothing is tested that depends on how many there are. SAM keeps
    a layer of both kinds, one that looks at windows and one that looks at all of the page.
    """
    from vllm.model_executor.models import deepencoder, deepencoder2

    _always(deepencoder.ImageEncoderViT, depth=2, global_attn_indexes=(1,))
    _always(deepencoder.DeepCLIPVisionTransformer, num_hidden_layers_override=2)
    _always(deepencoder2.Qwen2Decoder2Encoder, decoder_layer=2)


def _always(kind: Any, **arguments: Any) -> None:
    """Let a class be made with these arguments, whatever else it is told."""
    make = kind.__init__

    def made(self: Any, *others: Any, **named: Any) -> None:
        make(self, *others, **(named | arguments))

    kind.__init__ = made


_MODELS = "vllm.model_executor.models"
sys.meta_path[:0] = [
    _Before(["torchvision"], _describe_operators),
    _Before([f"{_MODELS}.deepseek_ocr", f"{_MODELS}.deepseek_ocr2"], _make_shallow),
]
