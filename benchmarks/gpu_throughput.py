"""Pages and tokens a second of the worker's engine on a GPU, as a ratio to bare vLLM.

    python -m benchmarks.gpu_throughput (--dummy-weights | --model FOLDER | --tiny)
        [--version v1] [--pages 512] [--output-tokens 1000] [--in-flight 32,64,128,256]
        [--batched-tokens 8192,16384,32768] [--service] [--report FILE]

Needs CUDA and vLLM; `--tiny` runs a small model on the CPU, to see that the program works.

For each number of pages in flight and of tokens in a step, the same pages are read by

- bare: `vllm.LLM.generate`, given all of them at once,
- engine: the engine `deepseek-ocr` (or `-v2`) as the worker calls it, from as many threads,
- service, if asked for: `casola-ocr serve`, a job for each page.

Prompts, pictures, sampling and the arguments of vLLM's engine are the same. The sides are loaded
one after the other: each has the GPU's memory to itself, as in use; beside each other each would
have room for half of the texts. `--dummy-weights` takes noise for weights, at the true sizes: it
costs what the model costs, except that a text ends only at `--output-tokens`, and that noise may
spread tokens over the experts as no text would. Pages are drawn: A4 at 150 dpi, full of words.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.common import console, errors, figures_table, parser, write_report
from benchmarks.gpu_sides import PAGE_SIZE, Measured, Plan, bare_vllm, service, worker_engine
from tests.vllm.checkpoints import Version, write_checkpoint
from tests.vllm.live import CPU_ARGUMENTS, ENVIRONMENT

ENGINES: dict[Version, str] = {"v1": "deepseek-ocr", "v2": "deepseek-ocr-v2"}
COLUMNS = ("in flight", "tokens a step", "side", "pages/s", "tokens/s", "of bare", "GPU busy")


def main() -> None:
    chosen = options()
    if chosen.tiny:
        os.environ.update(ENVIRONMENT)
    table = figures_table(f"{chosen.pages} pages, {chosen.version}", COLUMNS)
    stages = figures_table("Where the time goes: mean seconds of a page", ("", "bare", "engine"))
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        for plan in plans(chosen, Path(folder)):
            sides = {}
            for name, side in measured(plan, chosen.service):
                errors.print(f"{name}: {side.pages_per_second:.2f} pages/s")
                sides[name] = side
                table.add_row(*row(plan, name, side, sides["bare"]))
            stages.add_section()
            for stage in dict.fromkeys([*sides["engine"].stages, *sides["bare"].stages]):
                both = (sides[name].stages.get(stage) for name in ("bare", "engine"))
                stages.add_row(stage, *("" if value is None else f"{value:.3f}" for value in both))
            found.append(
                {"in_flight": plan.in_flight, "batched_tokens": batched(plan)}
                | {name: dataclasses.asdict(side) for name, side in sides.items()}
            )
            # A run that is stopped has written what it measured.
            write_report(chosen.report, {"options": said(chosen), "runs": found})
    console.print(table, stages)


def options() -> argparse.Namespace:
    made = parser(__doc__)
    weights = made.add_mutually_exclusive_group(required=True)
    weights.add_argument("--dummy-weights", action="store_true", help="noise at the true sizes")
    weights.add_argument("--model", help="a folder, or a name in the hub's cache")
    weights.add_argument("--tiny", action="store_true", help="a tiny model of noise on the CPU")
    made.add_argument("--version", choices=ENGINES, default="v1")
    made.add_argument("--pages", type=int, default=512)
    made.add_argument("--output-tokens", type=int, default=1000, help="of a page at most")
    made.add_argument("--in-flight", type=numbers, default=[32, 64, 128, 256])
    made.add_argument("--batched-tokens", type=numbers, default=[8192, 16_384, 32_768])
    made.add_argument("--memory-share", type=float, default=0.9)
    made.add_argument("--service", action="store_true", help="measure the whole service too")
    return made.parse_args()


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def plans(chosen: argparse.Namespace, folder: Path) -> Iterator[Plan]:
    model = chosen.model or str(
        write_checkpoint(folder / "model", chosen.version, "tiny" if chosen.tiny else "true")
    )
    arguments = {} if chosen.model else {"load_format": "dummy"}
    for tokens, in_flight in itertools.product(chosen.batched_tokens, chosen.in_flight):
        arguments |= CPU_ARGUMENTS if chosen.tiny else {}
        yield Plan(
            engine=ENGINES[chosen.version],
            model=model,
            pages=chosen.pages,
            # A tiny model takes a page that is not cut into tiles.
            page_size=(480, 640) if chosen.tiny else PAGE_SIZE,
            in_flight=in_flight,
            output_tokens=chosen.output_tokens,
            arguments=arguments | {"max_num_batched_tokens": tokens, "max_num_seqs": in_flight},
            dtype="float32" if chosen.tiny else "bfloat16",
            memory_share=chosen.memory_share,
            model_tokens=2048 if chosen.tiny else 8192,
        )


def measured(plan: Plan, whole: bool) -> Iterator[tuple[str, Measured]]:
    errors.print(f"{plan.in_flight} pages in flight, {batched(plan)} tokens a step")
    yield "bare", alone(partial(bare_vllm, plan))
    engine = alone(partial(worker_engine, plan))
    yield "engine", engine
    if whole:
        yield "service", service(plan, reading_seconds=engine.stages["in read()"])


def alone(side: partial[Measured]) -> Measured:
    """Run a side in a process that ends with it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(side).result()


def batched(plan: Plan) -> int:
    return int(plan.arguments["max_num_batched_tokens"])


def row(plan: Plan, name: str, side: Measured, bare: Measured) -> tuple[str, ...]:
    return (
        str(plan.in_flight),
        str(batched(plan)),
        name,
        f"{side.pages_per_second:.2f}",
        f"{side.tokens_per_second:.1f}",
        f"{side.pages_per_second / bare.pages_per_second:.3f}",
        "n/a" if side.gpu_busy is None else f"{side.gpu_busy:.0%}",
    )


def said(chosen: argparse.Namespace) -> dict[str, str]:
    return {name: str(value) for name, value in vars(chosen).items()}


if __name__ == "__main__":
    main()
