"""Put on the path of Python workers by a test: a codec that crashes, and one that is slow.

Loading the pixels of a PNG of one of the ``SIZES`` ends its process in the way that is named there; every other
one takes ``IMGSEARCH_TEST_LOAD_SECONDS`` longer.
"""

import ctypes
import os
import signal
import time

from PIL import PngImagePlugin

SIZES = {"exit": (21, 7), "kill": (22, 7), "segfault": (23, 7)}
_load = PngImagePlugin.PngImageFile.load
_CRASHES = {
    "exit": lambda: os._exit(1),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
}


def load(self):
    """Pillow's own, after the crash or the wait."""
    for way, size in SIZES.items():
        if self.size == size:
            _CRASHES[way]()
    time.sleep(float(os.environ.get("IMGSEARCH_TEST_LOAD_SECONDS", "0")))
    return _load(self)


PngImagePlugin.PngImageFile.load = load
