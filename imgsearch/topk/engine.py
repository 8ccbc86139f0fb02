"""The engines: which scan searches on this CPU, how it packs its queries, and what its work costs.

Both share everything but the product: ``int8`` (AVX-512 VNNI) and ``float32`` (any CPU). They only rule pairs out, by
a proven bound; what is left is scored. So the choice decides how long a search takes, never what it finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from imgsearch.topk import float32, int8
from imgsearch.topk.bounds import PackedQueries, pack_queries
from imgsearch.topk.float32 import QueryPanels
from imgsearch.topk.prefix import FLOAT32, INT8, Costs
from imgsearch.vectors import Matrix

EngineName = Literal["auto", "int8", "float32"]
Packed = PackedQueries | QueryPanels


class Engine(NamedTuple):
    """``pack(queries, prefix_dim)``: (n, dim) float32 → what ``scan.scan`` takes. ``costs``: what ``prefix`` weighs."""

    pack: Callable[[Matrix, int], Packed]
    costs: Costs


def choose(name: EngineName = "auto") -> Engine:
    """The engine of this name; ``auto``: the fastest that this CPU has. Raises ``ValueError`` where it has it not."""
    if name == "int8" and not int8.supported():
        raise ValueError("this CPU has no AVX-512 VNNI: leave the engine to 'auto'")
    if name == "float32" or not int8.supported():
        return Engine(float32.panels_of, FLOAT32)
    return Engine(pack_queries, INT8)
