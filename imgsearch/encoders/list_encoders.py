"""Encoders: the networks that ``--encoder`` takes by name, and whether each is here or needs a download. No Spark."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from imgsearch.config import EncodersConfig
from imgsearch.encoders.sources import Listed, list_encoders
from imgsearch.errors import LAUNCHER, UserError, did_you_mean

FILES = """\
--encoder also takes two or three of these with '+' between them, and a file of one's own: .safetensors, .pth, .pt
(weights, or TorchScript), .pt2, .onnx, with its preprocessing in a TOML beside it; NAME:WEIGHTS for another set of
torchvision's; timm:NAME and hf-hub:NAME with the extra 'timm'."""


def run(config: EncodersConfig) -> None:
    """Print the list. Raises ``UserError`` where no encoder matches."""
    text = table(chosen(list_encoders(), config.part, config.offline))
    try:
        print(f"{text}\n\n{FILES}", flush=True)
    except BrokenPipeError:  # `encoders | head` has seen enough; Python must not try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def chosen(listed: Sequence[Listed], part: str | None, offline: bool) -> list[Listed]:
    """Encoders whose name contains ``part``; with ``offline``, those that are here. Raises ``UserError`` for none."""
    encoders = [entry for entry in listed if part is None or part.lower() in entry.name]
    if not encoders:
        near = did_you_mean(str(part), [entry.name for entry in listed])
        raise UserError(f"no encoder's name contains {part!r}{near}; `{LAUNCHER} encoders` lists them all")
    if offline:
        encoders = [entry for entry in encoders if entry.available == "offline"]
        if not encoders:
            raise UserError(f"none of these is here; leave --offline out, or run `{LAUNCHER} encoders --offline`")
    return encoders


def table(listed: Sequence[Listed]) -> str:
    """Aligned text, one line an encoder. (``report.table`` would do, but imports pandas: a second for four columns.)"""
    rows = [Listed._fields, *((e.name, f"{e.dim:,}", e.available, e.note) for e in listed)]
    name, dim, available = (max(len(row[i]) for row in rows) for i in range(3))
    return "\n".join(f"{row[0]:<{name}}  {row[1]:>{dim}}  {row[2]:<{available}}  {row[3]}" for row in rows)
