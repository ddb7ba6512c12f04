"""The n-gram ban for vLLM's Model Runner V2: all requests of a step at once, on the GPU.

The first runner's way costs the CPU a few microseconds for each of some hundred requests in each
step, while the GPU waits. Here a step costs the CPU a dozen launches, whatever is in it, and waits
for nothing: the tokens are compared where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from vllm.sampling_params import SamplingParams
from vllm.v1.worker.gpu.sample.logits_processor.interface import (
    LogitsContext,
    LogitsProcessor,
    LogitsProcRequestState,
)

from workers.engines.ngram import asked

if TYPE_CHECKING:
    from vllm.config import VllmConfig

_NO_TOKEN = -1
#: Columns of the table of requests; from the third on: the tokens that are always allowed.
_SIZE, _WINDOW, _ALLOWED = 0, 1, 2


class NGramBan(LogitsProcessor):  # type: ignore[misc] # no vLLM where types are checked
    """Bans in each request what it asks for. vLLM makes it, in the process of the engine.

    Raises:
        ValueError: the engine drafts tokens (speculative decoding): those are not looked at.
    """

    def __init__(self, vllm_config: VllmConfig, req_states: LogitsProcRequestState):
        if vllm_config.speculative_config is not None:
            raise ValueError("The n-gram ban does not work with speculative decoding.")
        self._states = req_states
        #: A row for each slot. A size below 2 bans nothing.
        self._table = np.zeros((req_states.max_num_reqs, _ALLOWED), dtype=np.int32)
        self._on_device = torch.zeros(self._table.shape, dtype=torch.int32)
        self._changed = True

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        asked(sampling_params.extra_args)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        ban = asked(sampling_params.extra_args)
        tokens = sorted(ban.allowed) if ban else []
        if missing := max(0, _ALLOWED + len(tokens) - self._table.shape[1]):
            self._table = np.pad(self._table, ((0, 0), (0, missing)), constant_values=_NO_TOKEN)
        self._table[req_idx] = _NO_TOKEN
        self._table[req_idx, _SIZE] = ban.size if ban else 0
        self._table[req_idx, _WINDOW] = ban.window if ban else 0
        self._table[req_idx, _ALLOWED : _ALLOWED + len(tokens)] = tokens
        self._changed = True
        return ban is not None and ban.size > 1

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        here = self._table[ctx.idx_mapping_np]
        longest = int(here[:, _SIZE].max(initial=0))
        if longest < 2:
            return logits
        if self._changed:
            self._on_device = _upload(self._table, logits.device)
            self._changed = False
        slots = ctx.expanded_idx_mapping.long()
        ban_output(
            logits,
            all_tokens=self._states.all_token_ids.gpu,
            slots=slots,
            prompt_lengths=self._states.prompt_len.gpu[slots],
            lengths=ctx.pos + 1,
            table=self._on_device[slots],
            longest=longest,
            widest=int(here[:, _WINDOW].max()),
        )
        return logits


def ban_output(
    logits: torch.Tensor,
    *,
    all_tokens: torch.Tensor,
    slots: torch.Tensor,
    prompt_lengths: torch.Tensor,
    lengths: torch.Tensor,
    table: torch.Tensor,
    longest: int,
    widest: int,
) -> None:
    """Set the logits of banned tokens to minus infinity, in place and without waiting for the GPU.

    Args:
        logits: [rows, vocabulary]
        all_tokens: [slots, model length]; in each slot the prompt, then the output.
        slots: [rows] the slot of each row.
        prompt_lengths: [rows] in tokens.
        lengths: [rows] of prompt and output together.
        table: [rows, 2 + n] n-gram size, window, and the tokens always allowed, filled with -1.
        longest: of the sizes, at least 2.
        widest: of the windows.
    """
    device = logits.device
    columns = torch.arange(widest, device=device)
    sizes = table[:, _SIZE, None]

    # The last `widest` tokens of each row, the newest in the last column.
    first = widest - torch.minimum(lengths - prompt_lengths, table[:, _WINDOW])[:, None]
    positions = (lengths[:, None] - widest + columns).clamp(min=0)
    tail = all_tokens[slots[:, None], positions].masked_fill(columns < first, _NO_TOKEN)

    # before[:, c] = the longest - 1 tokens before column c; past the last one it is what the next
    # token would follow.
    before = torch.nn.functional.pad(tail, (longest - 1, 0), value=_NO_TOKEN).unfold(
        1, longest - 1, 1
    )
    too_far = torch.arange(longest - 1, device=device) < longest - sizes
    same = ((before[:, :-1] == before[:, -1:]) | too_far[:, None]).all(-1)
    within = (columns - (sizes - 1) >= first) & (sizes > 1)
    allowed = (tail[:, :, None] == table[:, None, _ALLOWED:]).any(-1)

    # Infinity leaves a logit as it is: a scatter of fixed size needs no count from the GPU.
    ceiling = torch.where(same & within & ~allowed, -torch.inf, torch.inf).to(logits.dtype)
    logits.scatter_reduce_(1, tail.clamp(min=0).long(), ceiling, "amin")


def _upload(table: np.ndarray, device: torch.device) -> torch.Tensor:
    """Copy without waiting; the copy in between is the GPU's until it has read it."""
    copied = torch.from_numpy(table.copy())
    if device.type == "cuda":
        return copied.pin_memory().to(device, non_blocking=True)
    return copied.to(device)
