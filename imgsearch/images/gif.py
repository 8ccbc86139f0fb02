"""A GIF's first frame on its canvas."""

from __future__ import annotations

from PIL import GifImagePlugin, Image, ImageFile

from imgsearch.images.pixels import BAND, bands

Box = tuple[int, int, int, int]


def first_frame(im: ImageFile.ImageFile) -> Box | None:
    """Where the first frame of an opened GIF lies (left, top, right, bottom); ``None`` where it fills the canvas."""
    box = im.dispose_extent if isinstance(im, GifImagePlugin.GifImageFile) else None
    return box if box is not None and box != (0, 0, *im.size) else None


def on_its_canvas(im: Image.Image, box: Box, factors: tuple[int, int]) -> Image.Image:
    """A loaded GIF in RGB, reduced by ``factors`` (across, down): what is around its frame is transparent, so white.

    Browsers and libvips have it so; Pillow fills it with the palette's background colour, which they ignore. A canvas
    may be huge where the file is tiny: it is laid out a band of rows at a time.
    """
    across, down = factors
    out = Image.new("RGB", (-(-im.width // across), -(-im.height // down)))
    for top, band in bands(im, max(1, BAND // im.width // down) * down):
        left, upper, right, lower = box[0], max(0, box[1] - top), box[2], min(band.height, box[3] - top)
        page = Image.new("RGB", band.size, "white")
        if upper < lower:
            layer = band.crop((left, upper, right, lower)).convert("RGBA")
            page.paste(layer, (left, upper), layer)
        out.paste(page.reduce(factors), (0, top // down))
    return out
