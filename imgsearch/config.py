"""What a job is told: one frozen settings object per job, from ``conf/default.toml``, ``--config FILE`` and options.

An option on the command line wins over ``--config FILE``, which wins over ``conf/default.toml``, which wins over the
defaults written here. Unknown sections, keys and options are refused with the nearest known name.
"""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, TypeVar

from imgsearch.errors import UserError, did_you_mean

DEFAULT_FILE = Path(__file__).resolve().parent.parent / "conf" / "default.toml"


def option(help: str, default: Any = dataclasses.MISSING, metavar: str | None = None) -> Any:
    """A field of a settings object that is also an option of its job."""
    return field(default=default, kw_only=True, metadata={"help": help, "metavar": metavar})


def at_least(name: str, value: float | None, least: float) -> None:
    """Refuse ``value`` below ``least``. ``None`` passes."""
    if value is not None and not value >= least:
        raise UserError.option(name, value, f"must be at least {least}")


def within(name: str, value: float | None, low: float, high: float) -> None:
    """Refuse ``value`` outside ``low``..``high``. ``None`` passes."""
    if value is not None and not low <= value <= high:
        raise UserError.option(name, value, f"must be between {low} and {high}")


AUGMENTATIONS = ("flip", "rotate")
WAREHOUSE_HELP = "where the tables are: a folder or URI, or catalog.schema"


@dataclass(frozen=True)
class IngestConfig:
    """Settings of ``ingest``."""

    about: ClassVar[str] = "read a folder, glob or Delta table of images into 'images' and 'quarantine'"
    input: str = option("a folder (searched recursively), a glob, or a Delta table with a 'content' or 'path' column")
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    max_pixels: int = option("images of more pixels than this are refused before they are decoded", 200_000_000)
    max_bytes: int = option("files larger than this are refused before they are read", 1_000_000_000)

    def __post_init__(self) -> None:
        at_least("max_pixels", self.max_pixels, 1)
        at_least("max_bytes", self.max_bytes, 1)


@dataclass(frozen=True)
class EmbedConfig:
    """Settings of ``embed``."""

    about: ClassVar[str] = "turn each image that this encoder has not seen into an embedding (pretrained CNN)"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    encoder: str = option(
        "a network by name, or a file of one's own (see the job 'encoders')", "efficientnet-lite0", "NAME"
    )
    pooling: Literal["avg", "gem", "max"] = option("how the last feature map becomes one vector", "avg")
    precision: Literal["float32", "bf16", "int8"] = option("arithmetic of the network; part of encoder_id", "float32")
    slice_images: int = option("images per commit: what a stopped run can lose at most", 20_000, "N")
    max_pixels: int = option("images of more pixels than this are refused before they are decoded", 200_000_000)
    decode_seconds: float = option("a decode that takes longer is stopped and quarantined", 20.0)

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
    refit: bool = option("fit anew even if a projection for this encoder and size exists", False)
    encoder: str | None = option("encoder_id or name, where the warehouse holds several (default: the latest)", None)

    def __post_init__(self) -> None:
        at_least("n_components", self.n_components, 1)
        within("whitening", self.whitening, 0, 1)
        at_least("fit_images", self.fit_images, 2)


@dataclass(frozen=True)
class ClusterConfig:
    """Settings of ``cluster``."""

    about: ClassVar[str] = "k-means on the vectors: 'clusters' (size, medoid, cohesion) and 'members'"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    n_clusters: str = option(
        "how many, or 'auto'; where there are clusters already, another number than theirs makes them anew", "auto", "N"
    )
    engine: Literal["blocked", "mllib"] = option(
        "blocked: matrix products with broadcast centroids; mllib: Spark MLlib's own KMeans.fit", "blocked"
    )
    max_iterations: int = option("stop after this many passes", 20, "N")
    seed: int = option("seed of the sample and of the first centroids", 7)
    refit: bool = option(
        "make the clusters anew (numbers of those still there are kept), not only assign new images to them", False
    )
    encoder: str | None = option("encoder_id or name, where the warehouse holds several (default: the latest)", None)

    def __post_init__(self) -> None:
        if self.n_clusters != "auto" and (not str(self.n_clusters).isdigit() or int(self.n_clusters) < 1):
            raise UserError.option("n_clusters", self.n_clusters, "must be a whole number from 1, or 'auto'")
        at_least("max_iterations", self.max_iterations, 1)


@dataclass(frozen=True)
class LabelConfig:
    """Settings of ``label``."""

    about: ClassVar[str] = "spread names given to clusters or single images to all images, with a confidence"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    labels: str = option(
        "CSV with 'label' and one of 'cluster_id', 'path', 'image_id' (or several)", metavar="FILE.csv"
    )
    min_confidence: float = option("abstain below this share of the vote", 0.5)

    def __post_init__(self) -> None:
        within("min_confidence", self.min_confidence, 0, 1)


@dataclass(frozen=True)
class SearchConfig:
    """Settings of ``search``."""

    about: ClassVar[str] = "find the most similar gallery images, by cosine, for each query image"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    queries: str = option(
        "a folder or glob of images; a Delta table of images, of vectors ('vector') or of ids ('image_id'); "
        "or a .csv with 'image_id'",
        metavar="PATH_OR_TABLE",
    )
    top_k: int = option("neighbours per query (with --group-by: groups)", 10, "K")
    where: str | None = option("only images for which this SQL condition on the columns of 'images' holds", None, "SQL")
    min_score: float | None = option("only matches with this score or more", None)
    exclude_self: bool = option("a query never finds its own bytes", False)
    nprobe: int | None = option("visit only this many clusters per query (default: all; exact)", None, "N")
    recall: float | None = option("visit as few clusters as find this share of the true neighbours", None)
    check_queries: int = option("with --nprobe or --recall: answer this many exactly too, to measure recall", 100, "N")
    group_by: str | None = option("rank the values of this column of 'images', not single images", None, "COLUMN")
    group_best: int = option("a group's score is the mean of its M best images (1: its best image)", 1, "M")
    expand: int = option(
        "search again with each query moved towards its M best matches (alpha query expansion)", 0, "M"
    )
    augment: str | None = option("embed queries in several ways and take the mean: flip, rotate", None, "flip,rotate")
    output: str | None = option("write the matches to this file too (.csv or .parquet)", None, "PATH")
    encoder: str | None = option("encoder_id or name, where the warehouse holds several (default: the latest)", None)

    def __post_init__(self) -> None:
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
        within("group_best", self.group_best, 1, 100)
        within("expand", self.expand, 0, 100)
        for name in (self.augment or "").split(",") if self.augment is not None else ():
            if name.strip() not in AUGMENTATIONS:
                raise UserError.option(
                    "augment", self.augment, f"give {' or '.join(AUGMENTATIONS)}, or both: flip,rotate"
                )
        if self.output is not None and not self.output.endswith((".csv", ".parquet")):
            raise UserError.option("output", self.output, "must end in .csv or .parquet")


@dataclass(frozen=True)
class CalibrateConfig:
    """Settings of ``calibrate``."""

    about: ClassVar[str] = "learn from known pairs the score from which two images match; 'matches' then say is_match"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    truth: str = option(
        "CSV with 'path' and a label (same label: a match), or with 'path', 'other_path' and 'match' (1 or 0)",
        metavar="FILE.csv",
    )
    label_column: str = option("the column of the truth file that says what is the same", "label", "NAME")
    precision: float = option("the share of true matches wanted among pairs called a match", 0.95)
    encoder: str | None = option("encoder_id or name, where the warehouse holds several (default: the latest)", None)

    def __post_init__(self) -> None:
        if not 0 < self.precision <= 1:
            raise UserError.option("precision", self.precision, "must be above 0 and at most 1, such as 0.95")


@dataclass(frozen=True)
class DedupConfig:
    """Settings of ``dedup``."""

    about: ClassVar[str] = "find copies and near-copies: groups to 'duplicates', or what another set shares to 'leaks'"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    threshold: float = option("cosine from which two images are near-duplicates", 0.95)
    against: str | None = option("another warehouse: find what is in both, to 'leaks'", None, "OTHER_WAREHOUSE")
    output: str | None = option("write the result to this file too (.csv or .parquet)", None, "PATH")
    encoder: str | None = option("encoder_id or name, where the warehouse holds several (default: the latest)", None)

    def __post_init__(self) -> None:
        if not 0.5 <= self.threshold <= 1:
            raise UserError.option("threshold", self.threshold, "must be between 0.5 and 1, such as 0.95")
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
    expand: int = option("measure `search --expand M` too: each image asks with its M best matches", 0, "M")
    output: str | None = option("write the metrics to this file too", None, "FILE.csv")
    encoder: str | None = option("encoder_id or name, where the warehouse holds several (default: the latest)", None)

    def __post_init__(self) -> None:
        within("expand", self.expand, 0, 100)
        if self.output is not None and not self.output.endswith(".csv"):
            raise UserError.option("output", self.output, "must end in .csv")


@dataclass(frozen=True)
class ExportConfig:
    """Settings of ``export``."""

    about: ClassVar[str] = "flat tables for BI tools (Delta and Parquet), thumbnails and an HTML report"
    warehouse: str = option(WAREHOUSE_HELP, metavar="W")
    output: str = option("the folder to write; what an earlier export made there is replaced", metavar="DIR")
    map_points: int = option("images on the 2-D map", 2_000, "N")

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

    def __post_init__(self) -> None:
        at_least("n_components", self.n_components, 1)
        ClusterConfig(warehouse=self.warehouse, n_clusters=self.n_clusters)


@dataclass(frozen=True)
class DemoConfig:
    """Settings of ``demo``."""

    about: ClassVar[str] = "draw a gallery of plant equipment and run the whole chain on it"
    out: str = option("the folder to write; what an earlier demo made there is replaced", "demo-out", "DIR")
    images: int = option("images to draw", 2_000, "N")
    queries: int = option("held-out query images", 50, "N")
    seed: int = option("same seed, same pictures", 7)

    def __post_init__(self) -> None:
        within("images", self.images, 40, 1_000_000)
        within("queries", self.queries, 1, 10_000)


Config = TypeVar("Config")


class _Parser(argparse.ArgumentParser):
    """argparse whose mistakes are one line with a next step."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; `{self.prog} --help` lists the options")


def parse(job: str, cls: type[Config], argv: Sequence[str], default_file: Path = DEFAULT_FILE) -> Config:
    """Settings of ``job`` from its defaults, the TOML files and ``argv``.

    Raises ``UserError`` for anything unknown, missing or out of range; ``SystemExit(0)`` after ``--help``.
    """
    parser = _Parser(
        prog=f"./spark-submit.sh {job}",
        description=getattr(cls, "about", None),
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=110),
    )
    hints = typing.get_type_hints(cls)
    options = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name, f in options.items():
        _add_option(parser, name, hints[name], f)
    parser.add_argument("--config", metavar="FILE.toml", help=f"settings in a file, under [{job}]")
    given, rest = parser.parse_known_args(list(argv))
    if rest:
        flags = ["--" + n.replace("_", "-") for n in options]
        raise UserError(
            f"{job} has no option {rest[0]!r}{did_you_mean(rest[0].split('=')[0], flags)}; "
            f"`{parser.prog} --help` lists the options"
        )
    values: dict[str, Any] = {}
    if default_file.exists():
        values |= _section(default_file, job, options)
    if given.config:
        values |= _section(Path(given.config), job, options)
    values |= {k: v for k, v in vars(given).items() if k in options and v is not None}
    for name, f in options.items():
        if name not in values and f.default is dataclasses.MISSING:
            flag = "--" + name.replace("_", "-")
            raise UserError(f"{job} needs {flag}: {f.metadata['help']}; `{parser.prog} --help` lists the options")
    return cls(**{name: _checked(name, value, hints[name]) for name, value in values.items()})


def _add_option(parser: argparse.ArgumentParser, name: str, hint: Any, f: dataclasses.Field[Any]) -> None:
    flag = "--" + name.replace("_", "-")
    text = f.metadata["help"].replace("%", "%%")
    if f.default is dataclasses.MISSING:
        text += " (required)"
    elif f.default not in (None, False):
        text += f" (default {f.default})"
    if hint is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        return
    kind = _plain(hint)
    if typing.get_origin(kind) is Literal:
        parser.add_argument(flag, choices=typing.get_args(kind), help=text)
    else:
        metavar = f.metadata["metavar"] or {int: "N", float: "X"}.get(kind, name.upper())
        parser.add_argument(flag, type=kind, metavar=metavar, help=text)


def _plain(hint: Any) -> Any:
    """``int | None`` → ``int``."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(a for a in typing.get_args(hint) if a is not type(None))
    return hint


def _section(path: Path, job: str, options: dict[str, Any]) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise UserError(f"--config {path}: {e.strerror}; give a TOML file with a section [{job}]") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UserError(f"--config {path}: not TOML ({e}); see conf/default.toml for an example") from e
    for section in document:
        if section not in JOB_NAMES:
            raise UserError(f"{path} has unknown section [{section}]{did_you_mean(section, JOB_NAMES)}")
        if not isinstance(document[section], dict):
            raise UserError(f"{path}: '{section}' is a value; write a section [{section}] with settings under it")
    values: dict[str, Any] = document.get(job, {})
    for key in values:
        if key not in options:
            raise UserError(f"{path}: [{job}] has unknown key '{key}'{did_you_mean(key, options)}")
    return values


def _checked(name: str, value: Any, hint: Any) -> Any:
    """A value from a TOML file has its type checked; argparse has done so for options."""
    kind = _plain(hint)
    if value is None:
        return None
    if typing.get_origin(kind) is Literal:
        if value not in typing.get_args(kind):
            raise UserError.option(name, value, f"must be one of {', '.join(map(str, typing.get_args(kind)))}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is str and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError.option(name, value, f"must be of type {kind.__name__}")
    return value


#: Every job and its settings; ``jobs/NAME.py`` is what spark-submit is given.
JOBS: dict[str, type[Any]] = {
    "ingest": IngestConfig,
    "embed": EmbedConfig,
    "compress": CompressConfig,
    "cluster": ClusterConfig,
    "label": LabelConfig,
    "search": SearchConfig,
    "calibrate": CalibrateConfig,
    "dedup": DedupConfig,
    "evaluate": EvaluateConfig,
    "export": ExportConfig,
    "pipeline": PipelineConfig,
    "demo": DemoConfig,
    "drop": DropConfig,
}
JOB_NAMES = frozenset(JOBS)
