"""vLLM elsewhere: an OpenAI-compatible ``vllm serve``, with the same readings as the one within.

It has to run the model with our n-gram ban or with vLLM's own; docs/gpu.md has the command.
"""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from casola_ocr.errors import ConfigurationError, EngineFailed, Unprocessable
from casola_ocr.prompts import chat_prompt
from casola_ocr.settings import Settings
from casola_ocr.text.generated import Generated
from workers.engines.deepseek_model import END
from workers.engines.transport import (
    BACK_OFF_SECONDS,
    LONGEST_PATTERN,
    PATTERN_COUNT,
    PRIORITIES,
    Request,
    Transport,
    decoded,
)

#: `<td>` and `</td>` of both models; a server resolves no names.
REPEATABLE_IDS = [128821, 128822]
#: How long the server may take to be there when the worker starts, as it loads the model.
START_SECONDS = 600.0
_BUSY = (429, 502, 503, 504)


class Remote(Transport):
    """A server with one of the models."""

    def __init__(self, engine: str, model: str, settings: Settings):
        """Wait for the server.

        Raises:
            ConfigurationError: it does not come, or has another model.
        """
        super().__init__()
        key = settings.vllm_api_key.get_secret_value()
        self._model = model
        self._max_tokens = settings.vllm_max_tokens or None
        self._client = httpx.AsyncClient(
            base_url=settings.vllm_url.rstrip("/").removesuffix("/v1"),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            # A page waits for its turn in the server; whoever wants it no more stops it.
            timeout=httpx.Timeout(10.0, read=None, pool=None),
            limits=httpx.Limits(max_connections=settings.slots),
            trust_env=False,
        )
        self.version = f"{Path(model).name}, vllm {self._run(self._find())}"

    def close(self) -> None:
        self._run(self._client.aclose())

    async def _find(self) -> str:
        try:
            async with asyncio.timeout(START_SECONDS):
                served = (await self._get("/v1/models")).json()
                version: str = (await self._get("/version")).json()["version"]
        except TimeoutError:
            raise ConfigurationError(
                "The vLLM server of CASOLA_VLLM_URL does not answer."
            ) from None
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError("What CASOLA_VLLM_URL names is no vLLM server.") from None
        names = [str(each.get("id")) for each in served.get("data", ())]
        if self._model not in names:
            raise ConfigurationError(
                f"The vLLM server has the models {', '.join(names)}, not {self._model}."
            )
        return version

    async def _get(self, path: str) -> httpx.Response:
        while True:
            try:
                answer = await self._client.get(path)
            except httpx.TransportError:
                await asyncio.sleep(BACK_OFF_SECONDS)
                continue
            if answer.status_code in _BUSY:
                await asyncio.sleep(BACK_OFF_SECONDS)
                continue
            if answer.is_error:
                raise ConfigurationError(
                    f"The vLLM server answers {answer.status_code}; see CASOLA_VLLM_API_KEY."
                )
            return answer

    async def _generate(self, request: Request) -> Generated:
        body = await asyncio.to_thread(self._body, request)
        while True:
            try:
                answer = await self._client.post("/v1/chat/completions", json=body)
            except httpx.TransportError:
                # It is being started again, or the network is. The page's own time limits this.
                await asyncio.sleep(BACK_OFF_SECONDS)
                continue
            if answer.status_code not in _BUSY:
                break
            await asyncio.sleep(BACK_OFF_SECONDS)
        if answer.status_code in (400, 413, 422):
            raise Unprocessable("The model cannot take this page.")
        if answer.is_error:
            raise EngineFailed(f"The vLLM server answered {answer.status_code}.")
        try:
            return _generated(answer.json()["choices"][0])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise EngineFailed("The vLLM server's answer cannot be read.") from error

    def _body(self, request: Request) -> dict[str, Any]:
        content = [
            {"type": "image_url", "image_url": {"url": _data_url(request.image)}},
            {"type": "text", "text": chat_prompt(request.wishes)},
        ]
        return {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "temperature": request.temperature,
            "logprobs": True,
            # The likeliest token tells whether the chosen one was another.
            "top_logprobs": 1,
            "skip_special_tokens": False,
            "priority": PRIORITIES[request.wishes.lane],
            "repetition_detection": {
                "max_pattern_size": LONGEST_PATTERN,
                "min_pattern_size": 1,
                "min_count": PATTERN_COUNT,
            },
            "vllm_xargs": {
                "ngram_size": request.ngram,
                "window_size": request.window,
                "whitelist_token_ids": REPEATABLE_IDS,
            },
            **({"max_tokens": self._max_tokens} if self._max_tokens else {}),
        }


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    # Nothing is lost, and packing costs less than sending the pixels as they are.
    image.save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _generated(choice: dict[str, Any]) -> Generated:
    finish = choice["finish_reason"]
    if finish not in ("stop", "length", "repetition"):
        raise EngineFailed(f"The model ended with '{finish}'.")
    tokens = choice["logprobs"]["content"]
    while tokens and tokens[-1]["token"] == END:
        tokens = tokens[:-1]
    text, starts = decoded(bytes(token["bytes"] or ()) for token in tokens)
    return Generated(
        text=text,
        starts=starts,
        logprobs=[token["logprob"] for token in tokens],
        ranks=[_rank(token) for token in tokens],
        finish=finish,
    )


def _rank(token: dict[str, Any]) -> int:
    """1 for the likeliest token; of the others the server does not tell more: 3, as banned."""
    likeliest = max((other["logprob"] for other in token["top_logprobs"]), default=-float("inf"))
    return 1 if token["logprob"] >= likeliest else 3
