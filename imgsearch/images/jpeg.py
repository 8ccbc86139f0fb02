"""What only JPEG can do: be decoded at a fraction of its size, and lose its end without the decoder's complaint."""

from __future__ import annotations

from PIL import JpegImagePlugin

from imgsearch.images.formats import DeadlineFile
from imgsearch.images.truncation import first_scan, scan_end

GAP = 2  # decoding at reduced scale leaves at least this many times the wanted size
SLACK = b"\xff\0" * 8  # 64 one-bits: what libjpeg reads ahead; as data it is no code and lasts for two blocks
#: Ways of coding that are not read, by the last byte of the frame's marker (ITU-T T.81, table B.1).
UNREAD_PROCESSES = {
    0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical", 0xCB: "lossless arithmetic",
    0xCD: "hierarchical arithmetic", 0xCE: "hierarchical arithmetic", 0xCF: "hierarchical arithmetic",
}  # fmt: skip
MORE_SCANS = frozenset((0xDA, 0xC4, 0xDB, 0xDD, 0xDC, 0xFE))  # markers that may stand between scans


def decode_reduced(im: JpegImagePlugin.JpegImageFile, target: tuple[int, int]) -> tuple[float, float]:
    """Sets ``im`` to be decoded at 1/2, 1/4 or 1/8 (fewer DCT coefficients), no smaller than ``GAP`` times ``target``.

    ``target``: (width, height) in pixels, as stored. Nothing changes for an image under four times that. Returns the
    (width, height) of the picture in the reduced image, whose own size is that rounded up.
    """
    drafted = im.draft(None, (target[0] * GAP, target[1] * GAP))
    return im.size if drafted is None else drafted[1][2:]


def unread_process(content: bytes) -> str | None:
    """How a JPEG is coded, where that is not read: ``lossless``, say. By the markers before its first scan."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        if content[at + 1] in UNREAD_PROCESSES:
            return UNREAD_PROCESSES[content[at + 1]]
        at += 1 if content[at + 1] == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None


def lost_tail(im: JpegImagePlugin.JpegImageFile, fp: DeadlineFile) -> bool:
    """Whether the data of a decoded sequential JPEG ended before its picture did.

    libjpeg paints what is missing mid-grey, and Pillow does not pass its warning on. So if the last pixel is that
    grey, the file is decoded again with ``SLACK`` in place of the marker that ended its data: a complete picture still
    decodes, one that lacks more than two blocks wants more. A progressive file cannot be asked this way: see
    ``_lacks_blocks``; what else it lacks is detail rather than area.
    """
    if "progressive" in im.info:
        return _lacks_blocks(im, fp.getvalue())
    corner = im.getpixel((im.width - 1, im.height - 1))
    if not set(corner if isinstance(corner, tuple) else (corner,)) <= {127, 128}:  # 127: CMYK is stored inverted
        return False
    content = fp.getvalue()
    end = scan_end(content)
    if end is None or content[end + 1] in MORE_SCANS:
        return False
    again = JpegImagePlugin.JpegImageFile(fp.again(content[:end] + SLACK))
    again.draft(None, im.size)
    try:
        again.load()
    except OSError:
        return True
    return False


def _lacks_blocks(im: JpegImagePlugin.JpegImageFile, content: bytes) -> bool:
    """Whether the first scan of a progressive JPEG has fewer bits than blocks: a header that claims another's size.

    It holds a Huffman code for the mean (DC) of each block, of one bit at least.
    """
    at, end = first_scan(content), scan_end(content)
    if at is None or end is None or b"\xff\xc2" not in content[:at]:  # arithmetic codes can be shorter
        return False
    n_layers = content[at + 4]
    data = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    if content[data - 3] != 0:  # it does not begin with the means
        return False
    ids = {content[at + 5 + 2 * i] for i in range(n_layers)}
    layers = [layer for layer in im.layer if layer[0] in ids]
    scale = im.decoderconfig[0] if im.decoderconfig else 1
    across, down = max(layer[1] for layer in im.layer), max(layer[2] for layer in im.layer)
    width, height = (im.width - 1) * scale + 1, (im.height - 1) * scale + 1  # at least so much, before it was reduced
    blocks = sum(width * layer[1] // across * (height * layer[2] // down) // 64 for layer in layers)
    return 8 * (end - data) < blocks
