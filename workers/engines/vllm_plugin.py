"""What runs in vLLM's own processes when they start; vLLM finds it by its entry point.

The process of the engine is a child of the worker. It leaves the worker's process group, because a
signal to the group would end it before the pages that are being read; and it dies with the worker,
even when that is killed, because it would keep the memory of the GPU.
"""

from __future__ import annotations

import ctypes
import os
import signal

#: The process whose children are meant. Others who use vLLM are left alone.
PARENT = "CASOLA_VLLM_PARENT"
_PR_SET_PDEATHSIG = 1


def register() -> None:
    """Tie this process to the one that started it; vLLM may call this several times."""
    parent = os.environ.get(PARENT)
    if parent != str(os.getppid()):
        return
    if os.getpgid(0) != os.getpid():
        os.setsid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent != str(os.getppid()):
        # It died a moment ago.
        os._exit(1)
    # The engine has children of its own.
    os.environ[PARENT] = str(os.getpid())
