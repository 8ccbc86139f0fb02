"""What the user gives to Spark wins: the settings that arrived, read from the event log of a real job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"

pytestmark = pytest.mark.spark


class Arrived(NamedTuple):
    """One run: its output, and the settings that its Spark application had."""

    done: subprocess.CompletedProcess[str]
    settings: dict[str, str]


def launch(
    folder: Path, *options: object, launcher: list[str] | None = None, environ: Mapping[str, str] | None = None
) -> Arrived:
    """Run ``drop`` on an empty warehouse: a mistake that only a session can tell."""
    (folder / "warehouse" / "images" / "_delta_log").mkdir(parents=True, exist_ok=True)
    log = folder / "events"
    log.mkdir()
    events = {
        "spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file:{log}",
        "spark.eventLog.rolling.enabled": "false", "spark.eventLog.compress": "false",
    }  # fmt: skip
    confs = [word for key, value in events.items() for word in ("--conf", f"{key}={value}")]
    command = [*(launcher or [str(ROOT / "spark-submit.sh")]), *map(str, options), *confs]
    done = subprocess.run(
        [*command, "drop", "--warehouse", str(folder / "warehouse"), "--encoder", "x"],
        capture_output=True, text=True, timeout=900, check=False, cwd="/", stdin=subprocess.DEVNULL,
        env={**{k: v for k, v in os.environ.items() if k not in ("MASTER", "SPARK_HOME")}, **(environ or {})},
    )  # fmt: skip
    settings: dict[str, str] = {}
    for file in log.iterdir():
        for line in file.read_text().splitlines():
            event = json.loads(line)
            if event["Event"] == "SparkListenerEnvironmentUpdate":
                settings = event["Spark Properties"]
    assert settings, done.stderr
    assert done.returncode == 2, done.stderr
    assert "there is no table 'encoders'" in done.stderr
    return Arrived(done, settings)


@pytest.fixture(scope="module")
def jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jars") / "x.jar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
    return path


def test_options_win(tmp_path: Path, jar: Path) -> None:
    arrived = launch(
        tmp_path, "--master", "local[1]", "--conf", "spark.sql.shuffle.partitions=9", "--jars", jar, "--name", "mine",
        "--conf", "spark.sql.session.timeZone=Europe/Berlin", "--driver-memory=700m",
        "--conf", "spark.driver.extraJavaOptions=-Dmine=1",
    )  # fmt: skip
    settings = arrived.settings
    assert settings["spark.master"] == "local[1]"
    assert settings["spark.sql.shuffle.partitions"] == "9"
    assert settings["spark.app.name"] == "mine"
    assert settings["spark.sql.session.timeZone"] == "Europe/Berlin"
    assert settings["spark.driver.memory"] == "700m"
    assert "-Dmine=1" in settings["spark.driver.extraJavaOptions"]
    names = [Path(part).name for part in settings["spark.jars"].split(",")]
    assert names[-1] == "x.jar"
    assert any(name.startswith("delta-spark") for name in names)
    assert settings["spark.sql.extensions"] == EXTENSION
    assert "master local[1], 1 slots" in arrived.done.stdout
    assert arrived.done.stderr.count("\n") == 1, arrived.done.stderr


def test_nothing_given_has_our_defaults(tmp_path: Path) -> None:
    settings = launch(tmp_path).settings
    assert settings["spark.master"] == "local[*]"
    assert settings["spark.sql.shuffle.partitions"] == str(2 * (os.cpu_count() or 1))
    assert settings["spark.locality.wait"] == "0s"  # with more, a task set of mixed locality hangs in local mode
    assert settings["spark.app.name"] == "imgsearch drop"
    assert settings["spark.databricks.delta.snapshotPartitions"] == "2"
    assert settings["spark.driver.memory"].endswith("m")


def test_a_properties_file_adds_to_ours(tmp_path: Path, jar: Path) -> None:
    file = tmp_path / "mine.conf"
    file.write_text(
        f"spark.master local[3]\nspark.jars={jar}\nspark.sql.extensions org.example.None\n"
        "spark.sql.execution.arrow.maxRecordsPerBatch: 77\nspark.app.name from-file\n"
    )
    settings = launch(tmp_path, "--properties-file", file).settings
    assert settings["spark.master"] == "local[3]"
    assert settings["spark.sql.extensions"] == f"org.example.None,{EXTENSION}"
    assert settings["spark.sql.execution.arrow.maxRecordsPerBatch"] == "77"
    assert settings["spark.sql.execution.arrow.maxBytesPerBatch"] == "8388608"
    assert settings["spark.sql.shuffle.partitions"] == "6"
    assert settings["spark.app.name"] == "from-file"
    assert {"x.jar"} < {Path(part).name for part in settings["spark.jars"].split(",")}


def test_the_users_conf_dir_and_master_variable(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text("spark.sql.shuffle.partitions 11\nspark.ui.enabled true\n")
    settings = launch(tmp_path, environ={"SPARK_CONF_DIR": str(tmp_path / "conf"), "MASTER": "local[1]"}).settings
    assert settings["spark.master"] == "local[1]"
    assert settings["spark.sql.shuffle.partitions"] == "11"
    assert settings["spark.ui.enabled"] == "true"
    assert settings["spark.sql.extensions"] == EXTENSION


def test_an_installation_of_the_users_own_is_used(tmp_path: Path) -> None:
    home = other_spark(tmp_path / "spark")
    arrived = launch(tmp_path, "--master", "local[1]", environ={"SPARK_HOME": str(home)})
    assert (home / "used").exists()
    assert arrived.settings["spark.sql.shuffle.partitions"] == "13"  # conf/spark-defaults.conf of that installation
    assert arrived.done.stderr.splitlines()[0] == f"imgsearch: Spark of SPARK_HOME={home}"


def test_delta_of_the_users_own_is_not_joined_by_ours(tmp_path: Path) -> None:
    ours = sorted((ROOT / ".cache" / "jars").glob("*/delta-*.jar"))
    copies = [shutil.copy(path, tmp_path / path.name) for path in ours]
    settings = launch(tmp_path, "--master", "local[1]", "--jars", ",".join(map(str, copies))).settings
    assert [Path(part).parent.name for part in settings["spark.jars"].split(",")] == [tmp_path.name] * len(copies)


def test_plain_spark_submit_of_a_job(tmp_path: Path) -> None:
    """Without our launcher: what is given wins, and what the session needs is added."""
    jars = ",".join(map(str, sorted((ROOT / ".cache" / "jars").glob("*/delta-*.jar"))))
    submit = tmp_path / "submit"  # puts the job's file where our launcher takes its name
    submit.write_text(
        '#!/bin/bash\nfor word; do if [ "$word" = drop ]; then word="$JOBS/drop.py"; fi; words+=("$word"); done\n'
        'exec "$SPARK_HOME/bin/spark-submit" "${words[@]}"\n'
    )
    arrived = launch(
        tmp_path, "--master", "local[1]", "--jars", jars, "--conf", "spark.sql.shuffle.partitions=9",
        launcher=["bash", str(submit)],
        environ={
            "PYSPARK_PYTHON": str(ROOT / ".venv" / "bin" / "python"), "PYTHONPATH": str(ROOT),
            "SPARK_HOME": str(spark_home()), "JOBS": str(ROOT / "jobs"),
        },
    )  # fmt: skip
    assert arrived.settings["spark.sql.shuffle.partitions"] == "9"
    assert arrived.settings["spark.sql.extensions"] == EXTENSION
    assert arrived.settings["spark.app.name"] == "imgsearch drop"


def spark_home() -> Path:
    return next((ROOT / ".venv" / "lib").glob("python3*/site-packages/pyspark"))


def other_spark(home: Path) -> Path:
    """A second installation: the same jars, a ``spark-submit`` that leaves a trace, and settings of its own."""
    shutil.copytree(spark_home() / "bin", home / "bin")
    (home / "jars").symlink_to(spark_home() / "jars")
    (home / "python").symlink_to(spark_home() / "python")
    submit = home / "bin" / "spark-submit"
    submit.rename(home / "bin" / "real-spark-submit")
    submit.write_text(f'#!/bin/sh\ntouch {home}/used\nexec "{home}/bin/real-spark-submit" "$@"\n')
    submit.chmod(0o755)
    (home / "conf").mkdir()
    (home / "conf" / "spark-defaults.conf").write_text("spark.sql.shuffle.partitions 13\n")
    return home
