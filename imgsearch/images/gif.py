"""A GIF's first frame on its canvas."""

from __future__ import annotations

from PIL import GifImagePlugin, Image, ImageFile

Box = tuple[int, int, int, int]


def first_frame(im: ImageFile.ImageFile) -> Box | None:
    """Where the first frame of an opened GIF lies (left, top, right, bottom); ``None`` where it fills the canvas."""
    box = im.dispose_extent if isinstance(im, GifImagePlugin.GifImageFile) else None
    return box if box is not None and box != (0, 0, *im.size) else None


def on_its_canvas(im: Image.Image, box: Box) -> Image.Image:
    """A loaded GIF in RGB: what is around its frame is transparent, so white, as browsers and libvips have it.

    Pillow fills it with the palette's background colour, which they ignore.
    """
    page = Image.new("RGB", im.size, "white")
    layer = im.crop(box).convert("RGBA")
    page.paste(layer, box[:2], layer)
    return page
