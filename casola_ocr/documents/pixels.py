"""Pictures of every mode that Pillow has to 8-bit RGB on white."""

from __future__ import annotations

from PIL import Image, ImageCms


def to_rgb(image: Image.Image, bits: int, inverted: bool) -> Image.Image:
    """A new RGB image on white; `bits` and `inverted` describe 16-bit grey of a TIFF."""
    flat: Image.Image = image
    if flat.mode == "P" and flat.palette is None:
        # Pillow 13 says so of a grey GIF's frame that leaves pixels as they were; a copy takes its
        # mode from the pixels.
        flat = flat.copy()
    if flat.mode.startswith("I;16"):
        flat = _scaled(flat.convert("I"), 0, (1 << (bits if 8 < bits < 16 else 16)) - 1)
        if inverted:
            flat = flat.point(lambda value: 255 - value)
    elif flat.mode in ("I", "F"):
        flat = _wide_grey(flat)
    elif flat.mode == "LAB":
        flat = _lab_to_rgb(flat)
    elif flat.has_transparency_data:
        if flat.mode == "La":
            flat = flat.convert("LA")
        rgba = flat.convert("RGBA")
        alpha = rgba.getchannel("A")
        flat = Image.new("RGB", rgba.size, "white")
        # Many programs write a BMP's fourth byte as 0 and mean nothing by it.
        unused = image.format == "BMP" and alpha.getextrema() == (0, 0)
        flat.paste(rgba, mask=None if unused else alpha)
    rgb = flat.copy() if flat.mode == "RGB" and flat is image else flat.convert("RGB")
    # Profiles and transparency keys no longer fit these pixels.
    rgb.info = {}
    return rgb


def _wide_grey(image: Image.Image) -> Image.Image:
    """Integer or floating grey to 8 bit: as it is when it fits, else its range is stretched."""
    low, high = (float(value) for value in image.getextrema())  # type: ignore[arg-type]
    if not (abs(low) < 1e30 and abs(high) < 1e30):
        return image.convert("L")
    if image.mode == "F" and low >= 0 and 0 < high <= 1:
        return _scaled(image, 0, 1)
    if (low >= 0 and high <= 255) or low == high:
        return image.convert("L")
    return _scaled(image, low, high)


def _scaled(image: Image.Image, low: float, high: float) -> Image.Image:
    factor = 255 / (high - low)
    # In floating point: a 32-bit range overflows the integer arithmetic of mode I.
    floating = image.convert("F")
    return floating.point(lambda value: value * factor + (0.5 - low * factor)).convert("L")


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None, "applyTransform returns None only for inPlace"  # noqa: S101
    return converted
