"""Any string or integer id as a 63-bit key, by which the join ranks; in SQL, so that no id leaves the JVM.

Equal scores are ordered by key. Keys sort as ids do for integers, for sha-256 in hex, and for strings that differ in
their last seven bytes only (``frame-000001``). Other strings get a hash, which orders them in a way that is the same
however a frame is partitioned.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Literal, NamedTuple

from pyspark.sql import Column
from pyspark.sql import functions as F

from imgsearch.lake.identifiers import quoted_part
from imgsearch.retrieval.join import image_key

SHA256 = "^[0-9a-f]{64}$"
PREFIX_BYTES = 7
MAX_KEY = (1 << 63) - 1


class IdRange(NamedTuple):
    """The ids of a frame: least and greatest, the longest in bytes (0: integers), and whether all are sha-256."""

    lowest: int | str
    highest: int | str
    n_bytes: int
    all_sha256: bool


class IdKeys(NamedTuple):
    """How the ids of one frame become keys. ``base``: what is subtracted, or the bytes that all ids begin with."""

    kind: Literal["sha256", "offset", "prefix", "hash"]
    ids: IdRange
    base: int | bytes = 0

    @classmethod
    def of(cls, ids: IdRange) -> IdKeys:
        """The keys that fit these ids."""
        if isinstance(ids.lowest, int) and isinstance(ids.highest, int):
            fits = ids.highest - ids.lowest <= MAX_KEY
            return cls("offset", ids, ids.lowest) if fits else cls("hash", ids)
        if ids.all_sha256:
            return cls("sha256", ids)
        lowest, highest = str(ids.lowest).encode(), str(ids.highest).encode()
        start = lowest[: sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(lowest, highest, strict=False)))]
        return cls("prefix", ids, start) if ids.n_bytes - len(start) <= PREFIX_BYTES else cls("hash", ids)

    def column(self, name: str) -> Column:
        """The key of each row's id, null where it can be no id of that frame."""
        value = F.col(quoted_part(name))
        if self.kind == "sha256":
            return F.when(value.rlike(SHA256), image_key(quoted_part(name)))
        if self.kind == "offset":
            within = value.between(F.lit(self.ids.lowest), F.lit(self.ids.highest))
            return F.when(within, value.cast("bigint") - F.lit(self.base).cast("bigint"))
        if self.kind == "prefix":
            return self._after_prefix(value.cast("binary"))
        wide = value.cast("bigint") if isinstance(self.ids.lowest, int) else value
        return F.xxhash64(wide).bitwiseAND(F.lit(MAX_KEY))

    def _after_prefix(self, value: Column) -> Column:
        start = bytes(self.base)
        rest = F.rpad(F.substring(value, len(start) + 1, PREFIX_BYTES), PREFIX_BYTES, F.lit(b"\0"))
        begins = F.substring(value, 1, len(start)) == F.lit(start) if start else F.lit(True)
        return F.when(
            begins & (F.octet_length(value) <= len(start) + PREFIX_BYTES), F.conv(F.hex(rest), 16, 10).cast("bigint")
        )
