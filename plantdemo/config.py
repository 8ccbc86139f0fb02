"""Settings of the demo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from imgsearch.options import option, within


@dataclass(frozen=True)
class DemoConfig:
    """Settings of ``demo``."""

    about: ClassVar[str] = "render synthetic photos of plant equipment and run the whole chain on them"
    output: str = option("the folder to write; it replaces an earlier demo there", "demo-out", "DIR")
    images: int = option("images to draw", 2_000, "N")
    queries: int = option("held-out query images", 50, "N")
    seed: int = option("same seed, same pictures", 7)

    def __post_init__(self) -> None:
        within("images", self.images, 40, 1_000_000)
        within("queries", self.queries, 1, 10_000)
