"""Let the torchvision of the index import beside a torch without CUDA.

Its build is for CUDA: its operators do not load, and it fails when it describes two of them.
DeepSeek-OCR's processor needs only its transforms. Python runs this file in every process of the
vLLM tests, vLLM's children among them; it does nothing until torchvision is imported.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_kept: list[Any] = []


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    def find_spec(
        self, module: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if module == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for name in "nms", "qnms":
                library.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
            _kept.append(library)


sys.meta_path.insert(0, _BeforeTorchvision())
