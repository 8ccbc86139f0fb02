"""What the geometric check needs of a picture: SIFT keypoints with descriptors (Lowe 2004), and a small grey copy.

A picture is decoded once, and its features travel packed to every pair that it is in. The features of the mirrored
picture are those of the picture with places and bins exchanged, so nothing is computed twice for mirrored copies.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.images.decode import DecodeLimits, decode, read_header

#: Pixels of the longer side: of the picture that keypoints are looked for in, and of the small copy.
SIDE, SMALL = 384, 128
#: Keypoints of a picture, the strongest.
MOST = 300
#: SIFT's contrast threshold, half of Lowe's: strips of steel and walls have keypoints too.
CONTRAST = 0.02
#: Pixels that a side has at least, of a picture however long and thin.
LEAST = 8
_HEAD = struct.Struct("<IIII")
_BINS = (4, 4, 8)  # SIFT's cells, down and across, and directions


class Features(NamedTuple):
    """``size``: (height, width) of the picture that ``points`` lie in. ``points``: (n, 2) float32, x and y.
    ``descriptors``: (n, 128) uint8. ``small``: (h, w) uint8, the whole picture, grey."""

    size: tuple[int, int]
    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    small: NDArray[np.uint8]

    def mirrored(self) -> Features:
        """The features of the picture seen in a mirror (left is right)."""
        points = self.points.copy()
        points[:, 0] = self.size[1] - 1 - points[:, 0]
        cells = self.descriptors.reshape(-1, *_BINS)[:, ::-1][..., -np.arange(8) % 8]
        return Features(self.size, points, np.ascontiguousarray(cells).reshape(-1, 128), self.small[:, ::-1])

    def packed(self) -> bytes:
        """As bytes: about 136 a keypoint, and the small picture."""
        head = _HEAD.pack(*self.size, len(self.points), self.small.shape[0])
        return head + b"".join(np.ascontiguousarray(part).tobytes() for part in self[1:])

    @classmethod
    def unpacked(cls, content: bytes) -> Features:
        """What ``packed`` wrote."""
        height, width, n, rows = _HEAD.unpack_from(content)
        at = _HEAD.size
        points = np.frombuffer(content, "<f4", 2 * n, at).reshape(n, 2)
        descriptors = np.frombuffer(content, np.uint8, 128 * n, at + 8 * n).reshape(n, 128)
        small = np.frombuffer(content, np.uint8, -1, at + 136 * n).reshape(rows, -1)
        return cls((height, width), points, descriptors, small)


def features_of(content: bytes | memoryview, limits: DecodeLimits | None = None) -> Features:
    """The features of an image file, decoded as the network decodes it. Raises ``ImageError`` as ``decode`` does."""
    header = read_header(content, limits)
    scale = min(1.0, SIDE / max(header.width, header.height))
    size = max(LEAST, round(header.height * scale)), max(LEAST, round(header.width * scale))
    return features(decode(content, size, limits))


def features(pixels: NDArray[np.uint8]) -> Features:
    """The features of (height, width, 3) uint8 RGB pixels, whose longer side is at most ``SIDE``."""
    import cv2

    cv2.setNumThreads(1)  # tasks share the cores
    grey = stretched(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    height, width = grey.shape
    found, descriptors = cv2.SIFT_create(nfeatures=MOST, contrastThreshold=CONTRAST).detectAndCompute(grey, None)
    points = np.reshape(cv2.KeyPoint_convert(found), (-1, 2)) if found else np.empty((0, 2))
    descriptors = np.empty((0, 128)) if descriptors is None else descriptors
    scale = SMALL / max(height, width)
    size = max(LEAST, round(width * scale)), max(LEAST, round(height * scale))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return Features((height, width), points.astype(np.float32)[:MOST], descriptors.astype(np.uint8)[:MOST], small)


def stretched(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w) grey levels from their 0.5 % to their 99.5 % quantile spread over 0..255, at most 16 times: dark and pale
    pictures have as many keypoints as others."""
    low, high = np.quantile(grey, [0.005, 0.995])
    scaled = (grey.astype(np.float32) - np.float32(low)) * np.float32(255 / max(high - low, 16))
    return np.clip(scaled, 0, 255).astype(np.uint8)
