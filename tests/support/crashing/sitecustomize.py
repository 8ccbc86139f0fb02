"""Put on the path of Python workers by a test: a codec that crashes, and one that is slow.

Loading the pixels of a picture with a text ``crash`` (``exit``, ``kill``, ``segfault``) does that to its process; every
other one takes ``IMGSEARCH_TEST_LOAD_SECONDS`` longer.
"""

import ctypes
import os
import signal
import time

from PIL import PngImagePlugin

_load = PngImagePlugin.PngImageFile.load
_CRASHES = {
    "exit": lambda: os._exit(1),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
}


def load(self):
    """Pillow's own, after the crash or the wait."""
    _CRASHES.get(self.info.get("crash"), lambda: None)()
    time.sleep(float(os.environ.get("IMGSEARCH_TEST_LOAD_SECONDS", "0")))
    return _load(self)


PngImagePlugin.PngImageFile.load = load
