"""Draw the sample page and write its text beside it (needs the DejaVu fonts).

The page is the worker's proof that its engine reads: run this again only to change the page.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PACKAGE = Path(__file__).resolve().parent.parent / "casola_ocr"

WIDTH, HEIGHT, MARGIN = 1000, 700, 60
ITEMS = (
    ("Printer paper, 5 reams", "2", "$42.50", "$85.00"),
    ("Ink cartridge, black", "3", "$30.00", "$90.00"),
    ("Desk lamp with warm light", "1", "$75.00", "$75.00"),
)
COLUMNS = (MARGIN, 540, 690, 850)


def main() -> None:
    """Draw the page."""
    page = Image.new("L", (WIDTH, HEIGHT), 255)
    draw = ImageDraw.Draw(page)
    truth: list[str] = []

    def row(y: int, *pieces: tuple[int, str], size: int = 24, bold: bool = False) -> None:
        font = ImageFont.truetype("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf", size)
        for x, text in pieces:
            draw.text((x, y), text, font=font, fill=0)
        truth.append(" ".join(text for _, text in pieces))

    row(50, (MARGIN, "Invoice #12345"), size=42, bold=True)
    row(120, (MARGIN, "Date: 2026-03-15"))
    row(160, (MARGIN, "Northwind Office Supplies, 12 Harbour Street"))
    row(200, (MARGIN, "Billed to: Casola Reading Room"))
    draw.line((MARGIN, 255, WIDTH - MARGIN, 255), fill=0, width=2)
    row(275, *zip(COLUMNS, ("Item", "Quantity", "Price", "Amount"), strict=True), bold=True)
    for index, item in enumerate(ITEMS):
        row(325 + 45 * index, *zip(COLUMNS, item, strict=True))
    draw.line((MARGIN, 470, WIDTH - MARGIN, 470), fill=0, width=2)
    row(490, (MARGIN, "Total: $250.00"), size=30, bold=True)
    row(560, (MARGIN, "Please pay within 30 days. Thank you for your order."))

    page.save(PACKAGE / "sample.png", optimize=True)
    (PACKAGE / "sample.txt").write_text("\n".join(truth) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
