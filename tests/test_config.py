"""Settings: options, TOML files, which wins, and what is refused in which words. No Spark."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgsearch.config import (
    ClusterConfig,
    CompressConfig,
    EmbedConfig,
    EvaluateConfig,
    IngestConfig,
    SearchConfig,
)
from imgsearch.errors import UserError
from imgsearch.job import JOBS
from imgsearch.options import DEFAULT_FILE
from imgsearch.options import parse as parse_options
from imgsearch.preflight import check_paths

CONFIGS = {name: job.settings() for name, job in JOBS.items()}
parse = partial(parse_options, sections=JOBS)

SEARCH = ["--warehouse", "w", "--queries", "q"]


@pytest.fixture
def no_defaults(tmp_path: Path) -> Path:
    return tmp_path / "none.toml"


def test_defaults_and_options(no_defaults: Path) -> None:
    found = parse("search", SearchConfig, [*SEARCH, "--top-k", "3", "--output=x.csv"], no_defaults)
    assert (found.warehouse, found.queries, found.top_k, found.output, found.encoder) == ("w", "q", 3, "x.csv", None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.top_k = 4  # type: ignore[misc]


def test_an_option_wins_over_a_file_over_the_defaults(tmp_path: Path) -> None:
    default, mine = tmp_path / "default.toml", tmp_path / "mine.toml"
    default.write_text("[search]\ntop_k = 4\nqueries = 'd'\n[embed]\nencoder = 'resnet50'\n")
    mine.write_text("[search]\nqueries = 'm'\n")
    found = parse("search", SearchConfig, ["--warehouse", "w", "--config", str(mine)], default)
    assert (found.top_k, found.queries) == (4, "m")
    found = parse("search", SearchConfig, [*SEARCH, "--config", str(mine), "--top-k", "5"], default)
    assert (found.top_k, found.queries) == (5, "q")


def test_the_shipped_defaults_are_valid_for_every_job() -> None:
    needed = {
        "warehouse": "w", "input": "i", "queries": "q", "labels": "l.csv", "truth": "t.csv", "output": "o",
        "encoder": "e", "against": "a", "threshold": "0.9", "precision": "0.9",
    }  # fmt: skip
    for job, cls in CONFIGS.items():
        argv = []
        for f in dataclasses.fields(cls):
            if f.default is dataclasses.MISSING:
                argv += ["--" + f.name.replace("_", "-"), needed[f.name]]
        assert isinstance(parse(job, cls, argv, DEFAULT_FILE), cls)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([*SEARCH, "--top-k", "0"], "--top-k 0: must be between 1 and 10000"),
        ([*SEARCH, "--top-k", "-3"], "--top-k -3: must be between 1"),
        ([*SEARCH, "--top-k", "ten"], "invalid int value: 'ten'"),
        ([*SEARCH, "--top-k"], "expected one argument"),
        ([*SEARCH, "--topk", "3"], "has no option '--topk' (did you mean '--top-k'?)"),
        ([*SEARCH, "--top_k=3"], "has no option '--top_k=3' (did you mean '--top-k'?)"),
        ([*SEARCH, "--output", "x.txt"], "--output x.txt: must end in .csv or .parquet"),
        (["--warehouse", "w"], "search needs --queries"),
        ([*SEARCH, "stray"], "has no option 'stray'"),
        ([*SEARCH, "--config", "/no/such.toml"], "--config /no/such.toml: No such file"),
    ],
)
def test_mistakes_in_search(argv: list[str], said: str, no_defaults: Path) -> None:
    with pytest.raises(UserError) as caught:
        parse("search", SearchConfig, argv, no_defaults)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cls", "values", "said"),
    [
        (IngestConfig, {"input": "i", "max_pixels": 0}, "--max-pixels 0: must be at least 1"),
        (IngestConfig, {"input": "i", "max_bytes": -1}, "--max-bytes -1: must be at least 1"),
        (EmbedConfig, {"slice_images": 0}, "--slice-images 0"),
        (EmbedConfig, {"decode_seconds": 0.0}, "--decode-seconds 0.0"),
        (EmbedConfig, {"decode_seconds": float("nan")}, "--decode-seconds nan"),
        (CompressConfig, {"n_components": 0}, "--n-components 0: must be at least 1"),
        (CompressConfig, {"whitening": 1.5}, "--whitening 1.5: must be between 0 and 1"),
        (CompressConfig, {"whitening": float("nan")}, "--whitening nan"),
        (ClusterConfig, {"n_clusters": "0"}, "--n-clusters 0: must be a whole number from 1, or 'auto'"),
        (ClusterConfig, {"n_clusters": "-2"}, "--n-clusters -2"),
        (ClusterConfig, {"n_clusters": "many"}, "--n-clusters many"),
        (ClusterConfig, {"n_clusters": "2.5"}, "--n-clusters 2.5"),
        (ClusterConfig, {"max_iterations": 0}, "--max-iterations 0"),
        (CONFIGS["label"], {"labels": "l.csv", "min_confidence": 1.1}, "--min-confidence 1.1"),
        (CONFIGS["label"], {"target_precision": 0.0}, "--target-precision 0.0: must be above 0"),
        (CONFIGS["cluster"], {"max_clusters": 1}, "--max-clusters 1"),
        (CONFIGS["cluster"], {"n_clusters": "9", "purity": True}, "--purity with --n-clusters 9: give one"),
        (CONFIGS["evaluate"], {"truth": "t.csv", "output": "m.parquet"}, "--output m.parquet: must end in .csv"),
        (CONFIGS["export"], {"output": "o", "map_points": 5}, "--map-points 5"),
        (CONFIGS["pipeline"], {"input": "i", "n_clusters": "x"}, "--n-clusters x"),
        (CONFIGS["pipeline"], {"input": "i", "n_components": 0}, "--n-components 0"),
        (CONFIGS["demo"], {"images": 39}, "--images 39: must be between 40"),
        (CONFIGS["demo"], {"queries": 0}, "--queries 0"),
    ],
)
def test_values_out_of_range(cls: type, values: dict[str, object], said: str) -> None:
    given_values = values if cls is CONFIGS["demo"] else {"warehouse": "w", **values}
    with pytest.raises(UserError) as caught:
        cls(**given_values)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[search]\ngalery = 1", "[search] has unknown key 'galery'"),
        ("[search]\ntopk = 1", "did you mean 'top_k'?"),
        ("[serch]\ntop_k = 1", "unknown section [serch] (did you mean 'search'?)"),
        ("[search]\ntop_k = '3'", "--top-k 3: must be of type int"),
        ("[search]\ntop_k = true", "--top-k True: must be of type int"),
        ("[search]\ntop_k = 2.5", "--top-k 2.5: must be of type int"),
        ("[search]\ntop_k = 0", "--top-k 0: must be between"),
        ("top_k = 3", "unknown section [top_k]"),
        ("search = 3", "[search]"),
        ("[search\n", "not TOML"),
    ],
)
def test_mistakes_in_a_file(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        parse("search", SearchConfig, [*SEARCH, "--config", str(path)], tmp_path / "none.toml")
    assert said in str(caught.value)


def test_values_of_a_file_become_the_options_types(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[cluster]\nn_clusters = 12\n[compress]\nwhitening = 1\n[embed]\npooling = 'mean'\n")
    argv = ["--warehouse", "w", "--config", str(path)]
    assert parse("cluster", ClusterConfig, argv).n_clusters == "12"
    whitening = parse("compress", CompressConfig, argv).whitening
    assert (whitening, type(whitening)) == (1.0, float)
    with pytest.raises(UserError, match="--pooling mean: must be one of avg, gem, max"):
        parse("embed", EmbedConfig, argv)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe[search]")
    with pytest.raises(UserError, match="not TOML"):
        parse("search", SearchConfig, [*SEARCH, "--config", str(path)])
    with pytest.raises(UserError, match="--config"):
        parse("search", SearchConfig, [*SEARCH, "--config", str(tmp_path)])


def test_help_lists_options_with_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    for job, cls in CONFIGS.items():
        with pytest.raises(SystemExit) as stopped:
            parse(job, cls, ["--help"])
        assert stopped.value.code == 0
        text = " ".join(capsys.readouterr().out.split())
        for f in dataclasses.fields(cls):
            flag = f"[{f.metadata['metavar']}]" if f.metadata["positional"] else "--" + f.name.replace("_", "-")
            assert flag in text
        assert cls.about.split(";")[0][:30] in text
        if job == "demo":
            assert "(default 50)" in text


@given(st.lists(st.text(max_size=8), max_size=5))
def test_any_arguments_are_settings_or_one_line(argv: list[str]) -> None:
    said, code = "one line", 0
    try:
        parse("search", SearchConfig, [*SEARCH, *argv])
    except UserError as e:
        said = str(e)
    except SystemExit as e:
        code = e.code
    assert said
    assert "\n" not in said
    assert code == 0


def test_a_job_never_writes_over_what_it_reads(tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("path,label\n")
    (tmp_path / "link.csv").symlink_to(truth)
    (tmp_path / "w" / "images" / "_delta_log").mkdir(parents=True)
    for output in (truth, tmp_path / "link.csv", tmp_path / "w" / ".." / "truth.csv"):
        config = EvaluateConfig(warehouse=str(tmp_path / "w"), truth=str(truth), output=str(output))
        with pytest.raises(UserError, match=r"--output .*\.csv: is what this job reads; give another name"):
            check_paths("evaluate", config)
    check_paths("evaluate", dataclasses.replace(config, output=str(tmp_path / "new.csv")))


def test_folders_that_are_taken_for_a_warehouse(tmp_path: Path) -> None:
    (tmp_path / "demo" / "warehouse" / "images" / "_delta_log").mkdir(parents=True)
    (tmp_path / "demo" / "export").mkdir()
    (tmp_path / "demo" / "export" / ".imgsearch-export").touch()
    (tmp_path / "demo" / "warehouse" / "models").mkdir()
    (tmp_path / "photos").mkdir()
    mistakes = {
        "demo": "holds no table; did you mean '.*demo/warehouse'",
        "demo/warehouse/models": "holds no table; did you mean '.*demo/warehouse'",
        "demo/warehouse/images": "is one table; did you mean '.*demo/warehouse', which it is in",
        "demo/export": "is an export; give the warehouse that it was made from",
        "photos": r"holds no table; run `\./spark-submit\.sh ingest` to make one",
        "none": "no such folder; run",
    }
    for name, said in mistakes.items():
        with pytest.raises(UserError, match=f"--warehouse .*{name}: {said}"):
            check_paths("embed", EmbedConfig(warehouse=str(tmp_path / name)))
    check_paths("embed", EmbedConfig(warehouse=str(tmp_path / "demo" / "warehouse")))
    check_paths("ingest", IngestConfig(input=str(tmp_path / "photos"), warehouse=str(tmp_path / "new")))
    for inside in ("photos", "photos/w/deep"):
        with pytest.raises(UserError, match=r"--warehouse .*: lies in --input .*photos; give a folder outside of it"):
            check_paths("ingest", IngestConfig(input=str(tmp_path / "photos"), warehouse=str(tmp_path / inside)))
