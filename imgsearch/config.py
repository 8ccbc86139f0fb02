"""The settings of each job, one frozen object a job; ``options`` reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from imgsearch.errors import UserError
from imgsearch.options import at_least, option, within

AUGMENTATIONS = ("flip", "rotate")
EDITS = ("flip", "rotate", "crop")
MAX_FILE = 2_000_000_000  # what a value of a table can hold
WAREHOUSE_HELP = "where the tables are: a folder or URI, or catalog.schema"


def ways_of(augment: str) -> tuple[str, ...]:
    """The ways that an ``--augment`` names, each once, in order.

    >>> ways_of("rotate, flip,flip")
    ('flip', 'rotate')
    """
    return tuple(sorted({way.strip() for way in augment.split(",")}))


def _check_ways(augment: str | None, ways: tuple[str, ...], hint: str) -> None:
    """Refuse an ``--augment`` with another way than ``ways``. ``None`` passes."""
    if augment is not None and not set(ways_of(augment)) <= set(ways):
        raise UserError.option("augment", augment, hint)


@dataclass(frozen=True)
class IngestConfig:
    """Settings of ``ingest``."""

    about: ClassVar[str] = "read a folder, glob or Delta table of images into 'images' and 'quarantine'"
    input: str = option("a folder (searched recursively), a glob, or a Delta table with a 'content' or 'path' column")
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    max_pixels: int = option("images of more pixels than this are refused before they are decoded", 200_000_000)
    max_bytes: int = option("files larger than this are refused before they are read", 1_000_000_000)
    rehash: bool = option("read every file again, also those of unchanged size, time and etag", False)
    prune: bool = option("forget the images of this input whose file is gone, and all that was derived of them", False)
    follow_links: bool = option("read links that lead out of the input too; without it they go to quarantine", False)
    exif: bool = option("note what the camera wrote: time, camera, lens, place, orientation", True)

    def __post_init__(self) -> None:
        at_least("max_pixels", self.max_pixels, 1)
        at_least("max_bytes", self.max_bytes, 1)
        if self.max_bytes > MAX_FILE:
            raise UserError.option("max_bytes", self.max_bytes, f"a file may have at most {MAX_FILE:,} bytes")


@dataclass(frozen=True)
class EmbedConfig:
    """Settings of ``embed``."""

    about: ClassVar[str] = "turn each image that this encoder has not seen into an embedding (pretrained CNN)"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    encoder: str = option(
        "a network by name, two or three as a+b (better answers, their times add up), or a file of one's own "
        "(see the job 'encoders')",
        "efficientnet-lite0",
        "NAME",
    )
    pooling: Literal["avg", "gem", "max"] = option("how the last feature map becomes one vector", "avg")
    precision: Literal["float32", "bf16", "int8"] = option("arithmetic of the network; part of encoder_id", "float32")
    regions: bool = option(
        "also give each image vectors of its parts, for `search --regions`. Helps where the thing that is asked for "
        "fills a corner of a photograph; of no use where it fills the picture, at twice the time and four times the "
        "vectors",
        False,
    )
    slice_images: int = option("images per commit: what a stopped run can lose at most", 20_000, "N")
    max_pixels: int = option("images of more pixels than this are refused before they are decoded", 200_000_000)
    decode_seconds: float = option("a decode that takes longer is stopped and quarantined", 20.0)
    thumbnails: bool = option("keep a small JPEG of each image (160 pixels) in 'thumbnails', for pages and BI", True)

    def __post_init__(self) -> None:
        at_least("slice_images", self.slice_images, 1)
        at_least("max_pixels", self.max_pixels, 1)
        at_least("decode_seconds", self.decode_seconds, 0.001)


@dataclass(frozen=True)
class DropConfig:
    """Settings of ``drop``."""

    about: ClassVar[str] = "remove what an encoder made: its embeddings, projections, vectors and clusters"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    encoder: str = option("which one: encoder_id, or a name that only one has", metavar="ID")


@dataclass(frozen=True)
class CompressConfig:
    """Settings of ``compress``."""

    about: ClassVar[str] = "fit a PCA to the embeddings and write the compressed unit vectors to 'vectors'"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    n_components: int | None = option(
        "components to keep (default: as the projection there is; 256 at first, or fewer for fewer images)", None, "N"
    )
    whitening: float | None = option(
        "power of the standard deviation that components are divided by, 0 to 1 (default: as it is; 0 at first)", None
    )
    engine: Literal["gram", "mllib"] = option("gram: blocked matrix products; mllib: Spark MLlib's own PCA.fit", "gram")
    fit_images: int = option("fit on a sample of this many embeddings, if there are more", 200_000, "N")
    storage: Literal["float32", "float16", "int8"] | None = option(
        "how vectors are kept: float16 is half as many bytes, int8 a quarter (default: as they are; float32 at first)",
        None,
    )
    labels: str | None = option(
        "learn from names of images: a CSV with 'label' and 'path' or 'image_id', or 'table' (names that people gave "
        "to single images, as `label` wrote them). Helps where names are fine classes, for classes without a name "
        "too; hurts where few broad names hide many kinds, so it is used only if cross-validation by class gains",
        None,
        "FILE.csv|table",
    )
    refit: bool = option("fit again even if a projection for this encoder and size exists", False)
    encoder: str | None = option("encoder_id or name, where the warehouse holds several (default: the latest)", None)

    def __post_init__(self) -> None:
        at_least("n_components", self.n_components, 1)
        within("whitening", self.whitening, 0, 1)
        at_least("fit_images", self.fit_images, 2)
        if self.labels == "":
            raise UserError.option("labels", self.labels, "give FILE.csv or 'table'")


@dataclass(frozen=True)
class NeighboursConfig:
    """Settings of ``neighbours``."""

    about: ClassVar[str] = "list the 20 nearest images of each image, to 'neighbours': `search --spread` needs it"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    encoder: str | None = option("encoder_id, its name, or a projection_id (default: the latest)", None)


@dataclass(frozen=True)
class ClusterConfig:
    """Settings of ``cluster``."""

    about: ClassVar[str] = "k-means on the vectors: 'clusters' (size, medoid, cohesion) and 'members'"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    n_clusters: str = option("how many, or 'auto'; another number than the warehouse has: fit again", "auto", "N")
    engine: Literal["blocked", "mllib"] = option(
        "blocked: matrix products with broadcast centroids; mllib: Spark MLlib's own KMeans.fit", "blocked"
    )
    max_clusters: int = option("with 'auto', where clusters are fitted: no more than a person can review", 300, "N")
    purity: bool = option("with 'auto', where clusters are fitted: many small ones of one kind each", False)
    max_iterations: int = option("stop after this many passes", 20, "N")
    seed: int = option("seed of the sample and of the first centroids", 7)
    refit: bool = option("fit again instead of assigning new images only; persisting clusters keep their id", False)
    encoder: str | None = option("encoder_id, its name, or a projection_id (default: the latest)", None)

    def __post_init__(self) -> None:
        if self.n_clusters != "auto" and (not str(self.n_clusters).isdigit() or int(self.n_clusters) < 1):
            raise UserError.option("n_clusters", self.n_clusters, "must be a whole number from 1, or 'auto'")
        at_least("max_iterations", self.max_iterations, 1)
        within("max_clusters", self.max_clusters, 2, 3_000)
        if self.purity and self.n_clusters != "auto":
            raise UserError(
                f"--purity with --n-clusters {self.n_clusters}: give one; --purity chooses the number itself"
            )


@dataclass(frozen=True)
class LabelConfig:
    """Settings of ``label``."""

    about: ClassVar[str] = "spread names of clusters and single images to all images, and say how sure each is"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    labels: str | None = option(
        "first add the names of this CSV: 'label' and one or more of 'cluster_id', 'path', 'image_id' (default: "
        "use the table 'labels' only)",
        None,
        "FILE.csv",
    )
    min_confidence: float = option("abstain below this confidence", 0.5)
    target_precision: float | None = option(
        "also abstain so far that this share of the spread labels is expected to be right, such as 0.95; needs "
        "50 names to measure it on",
        None,
    )
    encoder: str | None = option("encoder_id, its name, or a projection_id (default: the latest)", None)

    def __post_init__(self) -> None:
        within("min_confidence", self.min_confidence, 0, 1)
        if self.target_precision is not None and not 0 < self.target_precision <= 1:
            raise UserError.option(
                "target_precision", self.target_precision, "must be above 0 and at most 1, such as 0.95"
            )


@dataclass(frozen=True)
class SearchConfig:
    """Settings of ``search``."""

    about: ClassVar[str] = "find the most similar gallery images, by cosine, for each query image"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    queries: str = option(
        "a folder or glob of images; a Delta table of images, of vectors ('vector') or of ids ('image_id'); or a .csv "
        "with 'image_id'. With columns x, y, w, h (and 'path' in a .csv too) each row asks with that part of its "
        "picture: shares of its width and height, 0 to 1. Helps where the thing is small in the query",
        metavar="PATH_OR_TABLE",
    )
    top_k: int = option("neighbours per query (with --group-by: groups)", 10, "K")
    where: str | None = option(
        "only images for which this SQL condition holds: columns of 'images', values, operators, plain functions",
        None, "SQL"
    )  # fmt: skip
    min_score: float | None = option("only matches with this score or more", None)
    exclude_self: bool = option("a query never finds its own bytes", False)
    nprobe: int | None = option("probe the N nearest clusters of each query (default: all, which is exact)", None, "N")
    recall: float | None = option("choose nprobe for this ann_recall_at_k, such as 0.95", None)
    check_queries: int = option("queries on which --nprobe and --recall measure the recall", 100, "N")
    group_by: str | None = option("return groups (values of this column of 'images') instead of images", None, "COLUMN")
    group_best: int = option("a group's score is the mean of its M best images (1: its best image)", 1, "M")
    expand: int = option(
        "search again with each query moved towards its M best matches (alpha query expansion); the nearest stays "
        "first. Helps where a thing has several pictures, hurts where it has one other",
        0,
        "M",
    )
    spread: bool = option(
        "after the first three by cosine, rank by diffusion on the table 'neighbours' (score stays the cosine): all "
        "pictures of a thing. Helps where things have ten pictures or more, hurts where a thing has one or two others",
        False,
    )
    verify: bool = option(
        "check the ten best matches of each query against its picture (local features), and put those ahead that show "
        "its very thing; score stays the cosine. Helps for labels, packages, boards, buildings; adds time and nothing "
        "else where things have no texture or are seen from other sides",
        False,
    )
    regions: bool = option(
        "rank images by the best of their parts and the whole (`embed --regions` made them). Helps where the thing "
        "fills a corner of a photograph; where it fills the picture, parts of other pictures may come before it",
        False,
    )
    augment: str | None = option("embed queries in several ways and take the mean: flip, rotate", None, "flip,rotate")
    output: str | None = option("write the matches to this file too (.csv or .parquet)", None, "PATH")
    csv_guard: bool = option("in a .csv, put ' before text that a spreadsheet would run as a formula", True)
    encoder: str | None = option("encoder_id, its name, or a projection_id (default: the latest)", None)
    search_id: str | None = option(
        "the name of this search; an earlier one of that name is replaced (default: time and settings)", None, "ID"
    )
    keep_searches: int = option("searches whose matches stay; the oldest beyond are removed", 10, "N")

    def __post_init__(self) -> None:
        at_least("keep_searches", self.keep_searches, 1)
        if self.search_id is not None and not re.fullmatch(r"[\w.-]{1,80}", self.search_id, re.ASCII):
            raise UserError.option("search_id", self.search_id, "letters, digits, '.', '_' and '-', at most 80")
        within("top_k", self.top_k, 1, 10_000)
        within("min_score", self.min_score, -1, 1)
        at_least("nprobe", self.nprobe, 1)
        at_least("check_queries", self.check_queries, 0)
        if self.recall is not None and not 0 < self.recall <= 1:
            raise UserError.option("recall", self.recall, "must be above 0 and at most 1, such as 0.95")
        if self.recall is not None and self.nprobe is not None:
            raise UserError(
                f"--recall {self.recall} and --nprobe {self.nprobe}: give one; --recall picks nprobe itself"
            )
        if self.recall is not None and self.check_queries < 1:
            raise UserError.option(
                "check_queries", self.check_queries, "--recall picks nprobe by them; ask for 1 or more"
            )
        if self.spread and self.group_by is not None:
            raise UserError(f"--spread and --group-by {self.group_by}: give one; --spread ranks images, not groups")
        if self.verify and self.group_by is not None:
            raise UserError(f"--verify and --group-by {self.group_by}: give one; --verify ranks images, not groups")
        for other in ("nprobe", "recall", "expand", "spread", "verify"):
            if self.regions and getattr(self, other):
                raise UserError(f"--regions and --{other}: give one; --regions compares with every part of every image")
        within("group_best", self.group_best, 1, 100)
        within("expand", self.expand, 0, 100)
        _check_ways(self.augment, AUGMENTATIONS, "give flip or rotate, or both: flip,rotate")
        if self.output is not None and not self.output.endswith((".csv", ".parquet")):
            raise UserError.option("output", self.output, "must end in .csv or .parquet")


@dataclass(frozen=True)
class CalibrateConfig:
    """Settings of ``calibrate``."""

    about: ClassVar[str] = (
        "learn from truth the score from which a match is the same thing; 'matches' then say is_match"
    )
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    truth: str = option(
        "CSV with 'path' and a label (same label: the same thing), or with 'path', 'other_path' and 'match' (1 or 0)",
        metavar="FILE.csv",
    )
    label_column: str = option("the column of the truth file with the labels", "label", "NAME")
    target_precision: float = option("least share of right ones among the best matches that are called a match", 0.95)
    encoder: str | None = option("encoder_id, its name, or a projection_id (default: the latest)", None)

    def __post_init__(self) -> None:
        if not 0 < self.target_precision <= 1:
            raise UserError.option(
                "target_precision", self.target_precision, "must be above 0 and at most 1, such as 0.95"
            )


@dataclass(frozen=True)
class DedupConfig:
    """Settings of ``dedup``."""

    about: ClassVar[str] = "find copies and near-copies: groups to 'duplicates', or what another set shares to 'leaks'"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    threshold: float = option("cosine from which two images are near-duplicates", 0.95)
    augment: str | None = option(
        "find edited copies: mirrored, turned, cropped, bordered, in other colours, compressed. Each image is embedded "
        "in 1 (flip), 3 (rotate) and 5 (crop) views more, and pairs are checked pixel by pixel. Helps where pictures "
        "were edited; hurts where near-copies of other pixels are wanted (a second shot), which it leaves out",
        None,
        "flip,rotate,crop",
    )
    against: str | None = option("another warehouse: find what is in both, to 'leaks'", None, "OTHER_WAREHOUSE")
    output: str | None = option("write the result to this file too (.csv or .parquet)", None, "PATH")
    csv_guard: bool = option("in a .csv, put ' before text that a spreadsheet would run as a formula", True)
    encoder: str | None = option("encoder_id, its name, or a projection_id (default: the latest)", None)

    def __post_init__(self) -> None:
        if not 0.5 <= self.threshold <= 1:
            raise UserError.option("threshold", self.threshold, "must be between 0.5 and 1, such as 0.95")
        _check_ways(self.augment, EDITS, "give one or more of flip,rotate,crop")
        if self.augment is not None and self.against is not None:
            raise UserError(f"--augment {self.augment} and --against {self.against}: give one of them")
        if self.output is not None and not self.output.endswith((".csv", ".parquet")):
            raise UserError.option("output", self.output, "must end in .csv or .parquet")


@dataclass(frozen=True)
class EvaluateConfig:
    """Settings of ``evaluate``."""

    about: ClassVar[str] = "leave-one-out retrieval and cluster quality against known labels, to 'metrics'"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    truth: str = option(
        "CSV with 'path' (relative to the ingested folder, or whole, or an image_id) and a label", metavar="FILE.csv"
    )
    label_column: str = option("the column of the truth file to evaluate against", "label", "NAME")
    expand: int = option("measure `search --expand M` too (alpha query expansion)", 0, "M")
    spread: bool = option("measure `search --spread` too (diffusion on neighbours), on 30,000 images at most", False)
    compare: bool = option("compare ways to search on this truth, and say which one to take and what to type", False)
    sample: int = option(
        "images that are queries; the standard error is printed (0: all; time grows with their number)", 10_000, "N"
    )
    search_id: str | None = option("the search to evaluate (default: the last)", None, "ID")
    output: str | None = option("write the metrics to this file too", None, "FILE.csv")
    encoder: str | None = option("encoder_id, its name, or a projection_id (default: the latest)", None)

    def __post_init__(self) -> None:
        within("expand", self.expand, 0, 100)
        at_least("sample", self.sample, 0)
        if self.output is not None and not self.output.endswith(".csv"):
            raise UserError.option("output", self.output, "must end in .csv")


@dataclass(frozen=True)
class ExportConfig:
    """Settings of ``export``."""

    about: ClassVar[str] = "a star of flat tables for BI tools (Delta, Parquet, SQL views) and an HTML report"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    output: str = option("the folder to write; it replaces an earlier export there", metavar="DIR")
    map_points: int = option("images on the 2-D map", 2_000, "N")
    search_id: str | None = option("the search whose matches are exported (default: the last)", None, "ID")
    encoder: str | None = option("encoder_id, its name, or a projection_id (default: the latest)", None)

    def __post_init__(self) -> None:
        within("map_points", self.map_points, 10, 20_000)


@dataclass(frozen=True)
class PipelineConfig:
    """Settings of ``pipeline``."""

    about: ClassVar[str] = "ingest, embed, compress, cluster and export in one application"
    input: str = option("a folder (searched recursively), a glob, or a Delta table with a 'content' or 'path' column")
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    output: str | None = option("folder of the export (default: 'export' in or beside the warehouse)", None, "DIR")
    encoder: str = option("a network by name, or a file of one's own", "efficientnet-lite0", "NAME")
    n_components: int | None = option(
        "components to keep (default 256, or fewer where there are fewer images)", None, "N"
    )
    n_clusters: str = option("how many, or 'auto'", "auto", "N")
    regions: bool = option("also give each image vectors of its parts, as `embed --regions`", False)
    exif: bool = option("note what the camera wrote: time, camera, lens, place, orientation", True)
    thumbnails: bool = option("keep a small JPEG of each image (160 pixels) in 'thumbnails', for pages and BI", True)

    def __post_init__(self) -> None:
        at_least("n_components", self.n_components, 1)
        ClusterConfig(warehouse=self.warehouse, n_clusters=self.n_clusters)


@dataclass(frozen=True)
class StatusConfig:
    """Settings of ``status``."""

    about: ClassVar[str] = "show what is in a warehouse: tables, encoders, last runs, drift, and the next step"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")


@dataclass(frozen=True)
class EncodersConfig:
    """Settings of ``encoders``."""

    about: ClassVar[str] = "list the networks that --encoder takes, and which of them need a download"
    part: str | None = option("only names that contain this (default: all)", None, "PART", positional=True)
    offline: bool = option("only those that need no download", False)


@dataclass(frozen=True)
class ReviewConfig:
    """Settings of ``review``."""

    about: ClassVar[str] = "a page in the browser: name clusters, look at images, search by a picture; no JVM"
    warehouse: str = option("where the tables are: a folder or URI", metavar="W")
    port: int = option("the port to listen on; 0: any that is free", 8765, "N")
    host: str = option("the address to listen on; other than this machine's own it demands a token", "127.0.0.1")
    output: str | None = option(
        "write the queue as a page into this folder instead: it opens from disk, and gives names as labels.csv",
        None,
        "DIR",
    )
    reviewer: str | None = option("whose decisions these are, unless the page says so (default: the login)", None)
    site_column: str | None = option("the column of 'images' that says where (default: one that is named so)", None)
    date_column: str | None = option("the column of 'images' that says when (default: one that is named so)", None)
    encoder: str | None = option("encoder_id or name, where the warehouse holds several (default: the latest)", None)

    def __post_init__(self) -> None:
        within("port", self.port, 0, 65_535)
