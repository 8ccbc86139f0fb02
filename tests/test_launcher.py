"""The command that the launcher makes, and what it answers by itself; no Spark is started."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from imgsearch import launcher, shipping, short_jobs
from imgsearch.errors import UserError
from imgsearch.job import WANTS_SPARK, settings_of
from imgsearch.lake.archive import archive_name
from imgsearch.lake.submit import parse_submission

JOB = ("drop", "--warehouse", "w", "--encoder", "x")


@pytest.fixture
def spark_home(tmp_path: Path) -> Path:
    """As much of an installation as the launcher looks at."""
    home = tmp_path / "spark"
    (home / "bin").mkdir(parents=True)
    (home / "jars").mkdir()
    (home / "bin" / "spark-submit").touch()
    (home / "jars" / "spark-core_2.13-4.2.0.jar").touch()
    return home


def plan(home: Path, *options: str, terminal: bool = False, **environ: str) -> launcher.Plan:
    return launcher.plan(parse_submission([*options, *JOB]), {"SPARK_HOME": str(home), **environ}, 16_000, terminal)


def confs(planned: launcher.Plan) -> dict[str, str]:
    words = planned.command
    return dict(words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "--conf")


def test_nothing_given(spark_home: Path) -> None:
    planned = plan(spark_home)
    assert planned.command[0] == str(spark_home / "bin" / "spark-submit")
    assert planned.command[-5:] == [str(launcher.CHECKOUT / "jobs" / "drop.py"), *JOB[1:]]
    settings = confs(planned)
    assert settings["spark.master"] == "local[*]"
    assert settings["spark.driver.memory"] == "4000m"
    assert settings["spark.app.name"] == "imgsearch drop"
    assert planned.environ["SPARK_LOCAL_IP"] == "127.0.0.1"
    assert "log4j2.configurationFile" in planned.environ["SPARK_SUBMIT_OPTS"]
    assert planned.note == f"Spark of SPARK_HOME={spark_home}"


@pytest.mark.parametrize("variable", ["LC_ALL", "LC_CTYPE", "LANG", "NONE"])
def test_letters_beyond_ascii_pass_in_the_locale_c(spark_home: Path, variable: str) -> None:
    """The JVM takes the names of files, and spark-submit its arguments, by the locale."""
    for name in ("C", "POSIX", ""):
        assert plan(spark_home, **{variable: name}).environ["LC_ALL"] == "C.UTF-8"
    assert plan(spark_home, LC_ALL="C", LANG="de_DE.UTF-8").environ["LC_ALL"] == "C.UTF-8"
    assert "LC_ALL" not in plan(spark_home, LANG="de_DE.UTF-8").environ
    assert "LC_ALL" not in plan(spark_home, LC_ALL="de_DE.UTF-8", LANG="C").environ


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (("--master", "local[2]"), "spark.master"),
        (("--conf", "spark.master=local[2]"), "spark.master"),
        (("--driver-memory=1g",), "spark.driver.memory"),
        (("-c", "spark.driver.memory=1g"), "spark.driver.memory"),
        (("--name", "mine"), "spark.app.name"),
    ],
)
def test_what_is_given_is_not_given_again(spark_home: Path, options: tuple[str, ...], key: str) -> None:
    planned = plan(spark_home, *options)
    assert f"{key}=" not in " ".join(planned.command).replace(" ".join(options), "")


def test_lists_are_merged(spark_home: Path, tmp_path: Path) -> None:
    planned = plan(spark_home, "--jars", "a.jar,b.jar")
    assert "--jars" not in planned.command
    assert confs(planned)["spark.jars"].endswith("a.jar,b.jar")
    own = plan(spark_home, "--jars", "/x/delta-spark_2.13-4.0.0.jar")
    assert "spark.jars" not in confs(own)
    assert own.command[1:3] == ["--jars", "/x/delta-spark_2.13-4.0.0.jar"]


def test_without_jars_at_hand_delta_comes_as_a_package(spark_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "delta_jars", list)
    assert confs(plan(spark_home))["spark.jars.packages"] == launcher.DELTA_PACKAGE
    assert confs(plan(spark_home, "--packages", "a:b:1"))["spark.jars.packages"] == f"{launcher.DELTA_PACKAGE},a:b:1"
    (spark_home / "jars" / "delta-spark_4.2_2.13-4.4.0.jar").touch()
    assert not {"spark.jars", "spark.jars.packages"} & set(confs(plan(spark_home)))


def test_executors_elsewhere_get_the_package(spark_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(launcher, "cache_folder", lambda environ: tmp_path)
    planned = plan(spark_home, "--master", "spark://h:1", "--py-files", "mine.zip", "--conf", "spark.pyspark.python=p")
    settings = confs(planned)
    assert settings["spark.submit.pyFiles"] == f"{tmp_path / 'imgsearch.zip'},mine.zip"
    assert settings["spark.pyspark.driver.python"]
    assert "spark.driver.memory" not in settings
    assert "--py-files" not in planned.command
    assert "SPARK_LOCAL_IP" not in planned.environ


def test_an_archive_is_shipped(spark_home: Path, tmp_path: Path) -> None:
    options = ["--ship", "--master", "spark://h:1", "--archives", "mine.zip", *JOB]
    planned = launcher.plan(
        parse_submission(options), {"SPARK_HOME": str(spark_home)}, 16_000, False, tmp_path / "e.tar.gz"
    )
    settings = confs(planned)
    assert settings["spark.archives"] == f"{tmp_path / 'e.tar.gz'}#env,mine.zip"
    assert settings["spark.pyspark.python"] == "./env/bin/python"
    assert settings["spark.pyspark.driver.python"] == sys.executable
    assert not {"--ship", "--archives"} & set(planned.command)
    assert "spark.submit.pyFiles" not in settings  # the archive has the package


def test_another_spark_needs_another_delta(spark_home: Path) -> None:
    (spark_home / "jars" / "spark-core_2.13-4.2.0.jar").rename(spark_home / "jars" / "spark-core_2.13-4.0.1.jar")
    with pytest.raises(UserError, match=r"this Spark is 4\.0\.1, .* is for 4\.2: bring the Delta Lake for it"):
        plan(spark_home)
    plan(spark_home, "--packages", "io.delta:delta-spark_2.13:4.0.0")


def test_no_spark_at_spark_home(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no bin/spark-submit"):
        plan(tmp_path)


def test_a_log_of_the_users_own_is_kept(spark_home: Path, tmp_path: Path) -> None:
    (tmp_path / "log4j2.properties").touch()
    assert "SPARK_SUBMIT_OPTS" not in plan(spark_home, SPARK_CONF_DIR=str(tmp_path)).environ
    given = plan(spark_home, SPARK_SUBMIT_OPTS="-Dlog4j2.configurationFile=file:/x")
    assert "SPARK_SUBMIT_OPTS" not in given.environ


def ask(*argv: str) -> int:
    return launcher.ask(parse_submission(argv))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["sarch"], "there is no job 'sarch' (did you mean 'search'?)"),
        (["help", "sarch"], "there is no job 'sarch'"),
        (["--mastre", "x", *JOB], "spark-submit has no option '--mastre' (did you mean '--master'?)"),
        (["--warehouse", "w", "drop"], "a job's own options stand after its name"),
        (["--master"], "spark-submit option --master needs a value"),
        (["--conf", "spark.x", *JOB], "--conf spark.x: must be KEY=VALUE"),
        (["--properties-file", "/nope", *JOB], "--properties-file /nope: No such file or directory"),
        (["--master", "sparc://x", *JOB], "--master sparc://x: Spark knows no such master"),
        (["--master", "locl", *JOB], "Spark knows no such master"),
        (["--master", "spark://x", *JOB], "must be spark://HOST:PORT"),
        (["--master", "yarn", *JOB], "set HADOOP_CONF_DIR"),
        (["--jars", "/nope/x.jar", *JOB], "--jars /nope/x.jar: there is no such file"),
        (["--archives", "/nope/env.tar.gz#env", *JOB], "--archives /nope/env.tar.gz#env: there is no such file"),
        (["--ship", *JOB], "--ship: this is for executors on other machines; name their --master"),
        (["--remote", "sc://x", *JOB], "over Spark Connect only `search` works"),
    ],
)
def test_mistakes(argv: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HADOOP_CONF_DIR", "YARN_CONF_DIR", "SPARK_HOME", "SPARK_CONF_DIR"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UserError) as refused:
        ask(*argv)
    assert said in str(refused.value)


def test_a_master_has_to_answer(tmp_path: Path) -> None:
    place = ("--warehouse", str(tmp_path), "--queries", str(tmp_path))
    (tmp_path / "images" / "_delta_log").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"spark://127.0.0.1:{server.getsockname()[1]}"
        assert ask("--master", url, "search", *place) == WANTS_SPARK
    with pytest.raises(UserError, match=r"nothing answers at 127\.0\.0\.1:\d+ \(Connection refused\); is the master"):
        ask("--master", url, "search", *place)


@pytest.mark.parametrize("argv", [("help", "search"), ("search", "help"), ("search", "--help")])
def test_a_jobs_help(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        ask(*argv)
    assert stopped.value.code == 0
    assert "--top-k K" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [(), ("help",), ("--help",), ("-h", "search")])
def test_the_help(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(*argv) == 0
    text = capsys.readouterr().out
    for name in launcher.JOBS:
        lines = [line for line in text.splitlines() if line.strip().startswith(name + " ")]
        assert len(lines) == 1
        assert len(lines[0]) > 30


def test_local_paths_are_looked_at(tmp_path: Path) -> None:
    w, pictures = str(tmp_path), str(tmp_path / "pictures")
    (tmp_path / "file").touch()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "images" / "_delta_log").mkdir(parents=True)
    for argv, said in (
        (["ingest", "--warehouse", w, "--input", f"{w}/nope"], "there is no such folder, file, glob match or Delta"),
        (["ingest", "--warehouse", w, "--input", f"{w}/*.jpg"], "there is no such folder"),
        (["ingest", "--warehouse", f"{w}/file", "--input", pictures], "is a file; give a folder"),
        (["ingest", "--warehouse", f"{w}/file/w", "--input", pictures], f"{w}/file is a file; give a folder"),
        (["embed", "--warehouse", f"{w}/nope"], "no such folder; run `./spark-submit.sh ingest`"),
        (["label", "--warehouse", w, "--labels", f"{w}/nope.csv"], "No such file or directory"),
        (["label", "--warehouse", w, "--labels", w], "is a folder; give a CSV file"),
        (["export", "--warehouse", w, "--output", f"{w}/file/x"], f"{w}/file is a file"),
    ):
        with pytest.raises(UserError) as refused:
            ask(*argv)
        assert said in str(refused.value)
    for argv in (
        ["ingest", "--warehouse", f"{w}/new", "--input", pictures],
        ["ingest", "--warehouse", w, "--input", f"{w}/f*"],
        ["ingest", "--warehouse", "s3a://b/w", "--input", "s3a://b/nope"],
        ["search", "--warehouse", "main.pumps", "--queries", "main.other.queries"],
        ["label", "--warehouse", w, "--labels", "hdfs://h/nope.csv"],
    ):
        assert ask(*argv) == WANTS_SPARK
    cluster = ["--deploy-mode", "cluster", "--master", "k8s://h", "embed", "--warehouse", f"{w}/nope"]
    assert ask(*cluster) == WANTS_SPARK


def images_of(warehouse: Path, n_bytes: int) -> Path:
    (warehouse / "images" / "_delta_log").mkdir(parents=True)
    (warehouse / "images" / "part-0.parquet").write_bytes(b"0" * n_bytes)
    return warehouse


def is_short(job: str, *options: object) -> bool:
    return short_jobs.is_short(settings_of(job, [str(option) for option in options]))


def test_a_job_over_few_images_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_jobs, "FILES", 3)
    few, many = images_of(tmp_path / "few", 1000), images_of(tmp_path / "many", 2_000_000)
    assert is_short("label", "--warehouse", few)
    assert not is_short("label", "--warehouse", many)
    assert not is_short("label", "--warehouse", "s3a://a/w")
    assert not is_short("label", "--warehouse", "plant.photos")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in "abc":
        (pictures / name).touch()
    new = ("--warehouse", tmp_path / "new")
    assert is_short("ingest", "--input", pictures, *new)
    assert not is_short("ingest", "--input", f"{pictures}/*", *new), "a glob is not counted"
    assert is_short("search", "--queries", pictures / "a", "--warehouse", few)
    assert not is_short("search", "--queries", pictures, "--warehouse", many)
    (pictures / "d").touch()
    assert not is_short("ingest", "--input", pictures, *new)


def test_a_short_job_has_one_compiler_and_interprets(spark_home: Path, tmp_path: Path) -> None:
    def settings(warehouse: Path, *given: str) -> dict[str, str]:
        submission = parse_submission([*given, "label", "--warehouse", str(warehouse)])
        planned = launcher.plan(submission, {"SPARK_HOME": str(spark_home)}, 16_000, False)
        return {key: value for key, value in confs(planned).items() if key in short_jobs.SETTINGS}

    few = images_of(tmp_path / "few", 1000)
    assert settings(few) == short_jobs.SETTINGS
    assert settings(images_of(tmp_path / "many", 2_000_000)) == {}
    assert settings(few, "--master", "yarn") == {}
    own = {"spark.driver.extraJavaOptions": "-Dx=1"}
    assert settings(few, "--conf", "spark.driver.extraJavaOptions=-Dx=1") == short_jobs.SETTINGS | own


def test_a_driver_on_the_cluster_gets_an_archive_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "CHECKOUT", tmp_path)
    monkeypatch.setattr(shipping, "check_archive", lambda path: None)
    (tmp_path / "dist").mkdir()
    for group in ("executor", "driver"):
        (tmp_path / "dist" / archive_name("0.1.0", group)).touch()
    assert shipping.archive_to_ship({}).name == archive_name("0.1.0")
    assert shipping.archive_to_ship({"spark.submit.deployMode": "cluster"}).name == archive_name("0.1.0", "driver")
