"""Write the font of searchable PDFs again: ``python docs/make_font.py`` (needs fonttools).

Invisible text needs no shapes, but some font, and readers that mark what they find look at the
glyph's extent. So it has one glyph, half as wide as it is high, that is a line without any area.
"""

from __future__ import annotations

import io
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib.tables._g_l_y_f import Glyph

FONT = Path(__file__).parents[1] / "casola_ocr" / "exports" / "glyphless.ttf"
NAMES = [".notdef", "invisible"]
#: Units of 1/1000 of the font's size, as `casola_ocr.exports.pdf_text` has them.
WIDTH, ASCENT, DESCENT = 500, 800, -200


def make() -> bytes:
    """The font's bytes, each time the same."""
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(NAMES)
    pen = TTGlyphPen(None)
    pen.moveTo((0, DESCENT))
    pen.lineTo((WIDTH, ASCENT))
    pen.closePath()
    builder.setupGlyf({name: pen.glyph() for name in NAMES[1:]} | {NAMES[0]: Glyph()})
    builder.setupHorizontalMetrics(dict.fromkeys(NAMES, (WIDTH, 0)))
    builder.setupHorizontalHeader(ascent=ASCENT, descent=DESCENT)
    builder.updateHead(created=0, modified=0)
    builder.font.recalcTimestamp = False
    buffer = io.BytesIO()
    builder.save(buffer)
    return buffer.getvalue()


if __name__ == "__main__":
    FONT.write_bytes(make())
