"""What a page costs before the model sees it: in threads of the worker, or in processes beside it.

    python -m benchmarks.preprocess [--pages 16] [--side-by-side 2] [--rounds 5] [--report FILE]

A page is an A4 scan of 300 dpi with grain, as PNG and as JPEG. It is decoded, looked at for ink and
scaled to the tiles of DeepSeek-OCR-2, by the worker's own functions. A process has to send its
pixels back. Both ways take turns, so that whatever else runs slows both; the best round counts.

`held` is the part of the time during which a page's thread keeps others from running Python: what
a thread that only counts loses beside it. It needs a second core to itself to be told.
"""

from __future__ import annotations

import io
import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

from PIL import Image

from benchmarks.common import console, figures_table, parser, write_report
from casola_ocr.documents.images import open_page
from casola_ocr.documents.ink import ink_of, is_flat
from casola_ocr.sample import sample_image
from workers.engines.deepseek import fitted

ENGINE = "deepseek-ocr-v2"
A4 = (2480, 3508)
MOST_PIXELS = 100_000_000
#: For how long the thread that counts does so.
PROBE_SECONDS = 3.0


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--pages", type=int, default=16, help="of each round")
    made.add_argument("--side-by-side", type=int, default=2, help="threads, and processes")
    made.add_argument("--rounds", type=int, default=5)
    arguments = made.parse_args()
    figures = {
        media_type: measured(
            scan(media_type), media_type, arguments.pages, arguments.side_by_side, arguments.rounds
        )
        for media_type in ("image/png", "image/jpeg")
    }
    beside = arguments.side_by_side
    table = figures_table(
        "pages a second, A4 of 300 dpi",
        ("", "1 thread", f"{beside} threads", f"{beside} processes", "held"),
    )
    for name, figure in figures.items():
        table.add_row(
            name, *(f"{figure[key]:.2f}" for key in ("one", "threads", "processes", "held"))
        )
    console.print(table)
    write_report(arguments.report, {"side_by_side": beside, "pages": figures})


def scan(media_type: str) -> bytes:
    """A scanned page: the sample at A4, with the grain that makes PNGs of scans large."""
    with Image.open(io.BytesIO(sample_image())) as picture:
        page = picture.convert("RGB").resize(A4, Image.Resampling.BICUBIC)
    grain = Image.effect_noise(A4, 12).convert("RGB")
    buffer = io.BytesIO()
    Image.blend(page, grain, 0.1).save(buffer, media_type.removeprefix("image/"))
    return buffer.getvalue()


def prepared(data: bytes, media_type: str) -> Image.Image:
    image = open_page(io.BytesIO(data), media_type, 1, max_pixels=MOST_PIXELS)
    if not is_flat(image):
        ink_of(image)
    return fitted(image, ENGINE)


def sent_back(data: bytes, media_type: str) -> tuple[tuple[int, int], bytes]:
    image = prepared(data, media_type)
    return image.size, image.tobytes()


def measured(
    data: bytes, media_type: str, pages: int, side_by_side: int, rounds: int
) -> dict[str, float]:
    """Pages a second each way, and the part of the time for which a thread holds the GIL."""
    spawn = multiprocessing.get_context("spawn")
    best = {"one": 0.0, "threads": 0.0, "processes": 0.0}
    with (
        ThreadPoolExecutor(1) as one,
        ThreadPoolExecutor(side_by_side) as threads,
        ProcessPoolExecutor(side_by_side, mp_context=spawn) as processes,
    ):
        # They import what they need before they are timed.
        from_processes(processes, data, media_type, 2 * side_by_side)
        for _ in range(rounds):
            for name, run, pool in (
                ("one", from_threads, one),
                ("threads", from_threads, threads),
                ("processes", from_processes, processes),
            ):
                begun = time.perf_counter()
                run(pool, data, media_type, pages)
                best[name] = max(best[name], pages / (time.perf_counter() - begun))
        held = max(0.0, 1 - counted(lambda: prepared(data, media_type)) / counted(None))
    return {**best, "held": held}


def from_threads(pool: Executor, data: bytes, media_type: str, pages: int) -> None:
    list(pool.map(prepared, [data] * pages, [media_type] * pages))


def from_processes(
    pool: Executor, data: bytes, media_type: str, pages: int
) -> Sequence[Image.Image]:
    found = pool.map(sent_back, [data] * pages, [media_type] * pages)
    return [Image.frombytes("RGB", size, pixels) for size, pixels in found]


def counted(beside: Callable[[], object] | None) -> int:
    """How far a thread counts while another one does `beside` again and again."""
    end = time.perf_counter() + PROBE_SECONDS

    def again() -> None:
        while beside is not None and time.perf_counter() < end:
            beside()

    other = threading.Thread(target=again)
    other.start()
    count = 0
    while time.perf_counter() < end:
        count += 1
    other.join()
    return count


if __name__ == "__main__":
    main()
