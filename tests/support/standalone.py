"""A standalone cluster of real processes: a master and workers that know nothing of the checkout.

Workers run from a copy of Spark in another folder, with an empty environment, and, where the tests run as root, as the
user ``nobody``: what they need beside Java and Spark has to come with the job.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.jars import ROOT, java_home, spark_home
from support.processes import Daemon, free_port, is_open

CONF = ROOT / "conf" / "standalone"


@dataclass(frozen=True)
class Standalone:
    """A running cluster. ``folder``: a place that driver and workers may both write. ``user``: of the workers."""

    url: str
    folder: Path
    user: int | None
    workers: tuple[Daemon, ...]


@contextmanager
def outside() -> Iterator[Path]:
    """A folder outside the checkout that every user may write, removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix="imgsearch-bed-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def install_spark(folder: Path) -> Path:
    """Spark as an admin has it on each node: ``bin/``, ``jars/``, ``python/lib/``, as hard links where possible."""
    for part in ("bin", "jars", "python/lib"):
        shutil.copytree(spark_home() / part, folder / part, copy_function=link_or_copy)
    return folder


def nobody() -> int | None:
    """The user of the workers: ``nobody`` for root, else the user there is (None)."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


@contextmanager
def standalone(n_workers: int = 2, cores: int = 1, memory: str = "1500m") -> Iterator[Standalone]:
    """One master and ``n_workers`` workers on 127.0.0.1, each with its own work directory."""
    with ExitStack() as stack:
        folder = stack.enter_context(outside())
        user = nobody()
        env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "JAVA_HOME": str(java_home()), "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_HOME": str(install_spark(folder / "spark")), "SPARK_DAEMON_MEMORY": "192m",
            "SPARK_CONF_DIR": str(folder / "empty"),
        }  # fmt: skip
        port = free_port()
        ports = {"SPARK_MASTER_PORT": str(port), "SPARK_MASTER_WEBUI_PORT": "0", "SPARK_MASTER_HOST": "127.0.0.1"}
        master = Daemon(["bash", _readable(CONF / "master.sh", folder)], folder / "master.log", env | ports, user=user)
        stack.callback(master.stop)
        master.wait_for(lambda: is_open(port))
        url = f"spark://127.0.0.1:{port}"
        workers = []
        for i in range(n_workers):
            work = folder / f"worker-{i}"
            work.mkdir()
            work.chmod(0o777)
            own = env | {
                "SPARK_WORKER_HOST": "127.0.0.1", "SPARK_WORKER_WEBUI_PORT": "0", "SPARK_WORKER_DIR": str(work),
                "SPARK_WORKER_CORES": str(cores), "SPARK_WORKER_MEMORY": memory, "SPARK_LOCAL_DIRS": str(work),
                "HOME": str(work),
            }  # fmt: skip
            script = _readable(CONF / "worker.sh", folder)
            worker = Daemon(["bash", script, url], folder / f"worker-{i}.log", own, work, user)
            stack.callback(worker.stop)
            workers.append(worker)
        for worker in workers:
            worker.wait_for(lambda log=worker: log.has_said("Successfully registered with master"))
        yield Standalone(url, folder, user, tuple(workers))


def _readable(script: Path, folder: Path) -> Path:
    """A copy that the workers' user can read: the checkout may be in a folder that is root's alone."""
    copy = folder / script.name
    if not copy.exists():
        shutil.copyfile(script, copy)
    return copy


def link_or_copy(source: str, target: str) -> str:
    """A hard link where one can be made: nothing is copied, and the target is a file of its own all the same."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
