"""An encoder's graph as data: from the cache of graphs, or exported once."""

from __future__ import annotations

from imgsearch.encoders.encoder import Encoder
from imgsearch.encoders.side_by_side import pack_graphs
from imgsearch.lake.cache import cached_graph


def graph_of(encoder: Encoder) -> bytes:
    """The network as data; of several their graphs, packed. Torch is imported only where no earlier run exported it."""
    if encoder.parts:
        return pack_graphs([graph_of(part) for part in encoder.parts])

    def export() -> bytes:
        from imgsearch.encoders.export import export_graph
        from imgsearch.encoders.quantization import calibration_pictures

        shown = encoder.preprocessing
        pictures = calibration_pictures(shown.height, shown.width) if encoder.precision == "int8" else None
        return export_graph(encoder, pictures)

    return cached_graph(encoder.encoder_id, export)
