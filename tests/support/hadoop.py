"""A real HDFS (NameNode, DataNode) and a real YARN (ResourceManager, NodeManager) as processes on 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from support.jars import ROOT, bring, java_home, spark_home
from support.processes import Daemon, free_port, is_open
from support.standalone import install_spark, link_or_copy, nobody, outside

LOG4J = ROOT / "imgsearch" / "conf" / "log4j2.properties"
CLIENT_CONF = ROOT / "conf" / "yarn"
PORTS = ("rm", "scheduler", "tracker", "admin", "web", "nm", "localizer", "nmweb")


@dataclass(frozen=True)
class Hdfs:
    """``uri``: hdfs://127.0.0.1:PORT. ``folder``: a local folder that every user may write."""

    uri: str
    folder: Path


@dataclass(frozen=True)
class Yarn:
    """``conf``: the client's HADOOP_CONF_DIR. ``spark``: Spark as it is on the nodes. ``logs``: of the containers."""

    conf: Path
    spark: Path
    logs: Path


def hadoop_fs(*argv: object, settings: Mapping[str, object] = MappingProxyType({}), jars: Sequence[Path] = ()) -> str:
    """``hadoop fs ARGV``: what it prints. ``settings``: those of ``core-site.xml``."""
    with tempfile.TemporaryDirectory() as conf:
        Path(conf, "core-site.xml").write_text(_site(settings))
        path = os.pathsep.join([conf, *map(str, jars), f"{spark_home()}/jars/*"])
        done = subprocess.run(
            [*map(str, _java("256m")), "-cp", path, "org.apache.hadoop.fs.FsShell", *map(str, argv)],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _java(heap: str) -> list[object]:
    return [
        java_home() / "bin" / "java",
        f"-Xmx{heap}",
        "-XX:TieredStopAtLevel=1",
        f"-Dlog4j2.configurationFile={LOG4J}",
    ]


@contextmanager
def hdfs() -> Iterator[Hdfs]:
    """NameNode and DataNode in one JVM. Any user is believed who says who he is, as in every HDFS without Kerberos."""
    jars = bring("hadoop")
    with outside() as folder, ExitStack() as stack:
        port = free_port()
        daemon = Daemon(
            [*_java("384m"), f"-Dtest.build.data={folder}/data", f"-Dhadoop.log.dir={folder}",
             "-cp", os.pathsep.join([*map(str, jars), f"{spark_home()}/jars/*"]),
             "org.apache.hadoop.mapreduce.MiniHadoopClusterManager", "-nomr", "-nnport", port, "-datanodes", 1,
             "-format", "-writeConfig", folder / "ready.xml"],
            folder / "hdfs.log", {"PATH": os.environ["PATH"]}, folder,
        )  # fmt: skip
        stack.callback(daemon.stop)
        daemon.wait_for(lambda: (folder / "ready.xml").exists() and is_open(port))
        yield Hdfs(f"hdfs://127.0.0.1:{port}", folder)


@contextmanager
def yarn(files: Hdfs) -> Iterator[Yarn]:
    """ResourceManager and one NodeManager (4 GB, 4 cores) that knows nothing of the checkout, over ``files``."""
    jars = bring("hadoop")
    with outside() as folder, ExitStack() as stack:
        spark, user = install_spark(folder / "spark"), nobody()
        ports = {
            name: free_port() for name in ("rm", "scheduler", "tracker", "admin", "web", "nm", "localizer", "nmweb")
        }
        conf = _write_client_conf(folder / "client", files, ports)
        (folder / "logs").mkdir()
        (folder / "logs").chmod(0o777)
        (folder / "server").mkdir()
        (folder / "server" / "core-site.xml").write_text((conf / "core-site.xml").read_text())
        (folder / "server" / "yarn-site.xml").write_text(_site(_server_settings(ports, folder)))
        shutil.copytree(jars[0].parent, folder / "jars", copy_function=link_or_copy)
        path = os.pathsep.join([str(folder / "server"), f"{folder}/jars/*", f"{spark}/jars/*"])
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "JAVA_HOME": str(java_home()), "HOME": str(folder)}
        package = "org.apache.hadoop.yarn.server"
        for name, main, owner, ready in (
            ("rm", f"{package}.resourcemanager.ResourceManager", None, ports["rm"]),
            ("nm", f"{package}.nodemanager.NodeManager", user, ports["nmweb"]),
        ):
            daemon = Daemon([*_java("256m"), "-cp", path, main], folder / f"{name}.log", env, folder, owner)
            stack.callback(daemon.stop)
            daemon.wait_for(lambda port=ready: is_open(port))
        yield Yarn(conf, spark, folder / "logs")


def _write_client_conf(folder: Path, files: Hdfs, ports: dict[str, int]) -> Path:
    """``conf/yarn`` with this bed's addresses: what is shown to people is what is tested."""
    replace = {
        "hdfs://NAMENODE:9000": files.uri, "RESOURCEMANAGER:8032": f"127.0.0.1:{ports['rm']}",
        "RESOURCEMANAGER:8030": f"127.0.0.1:{ports['scheduler']}", "RESOURCEMANAGER:8088": f"127.0.0.1:{ports['web']}",
        "RESOURCEMANAGER": "127.0.0.1",
    }  # fmt: skip
    folder.mkdir()
    for name in ("core-site.xml", "yarn-site.xml"):
        text = (CLIENT_CONF / name).read_text()
        for placeholder, value in replace.items():
            text = text.replace(placeholder, value)
        (folder / name).write_text(text)
    return folder


def _server_settings(ports: dict[str, int], folder: Path) -> dict[str, object]:
    at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    rm, nm = "yarn.resourcemanager", "yarn.nodemanager"
    return {
        f"{rm}.hostname": "127.0.0.1", f"{rm}.address": at["rm"], f"{rm}.scheduler.address": at["scheduler"],
        f"{rm}.resource-tracker.address": at["tracker"], f"{rm}.admin.address": at["admin"],
        f"{rm}.webapp.address": at["web"],
        f"{rm}.scheduler.class": "org.apache.hadoop.yarn.server.resourcemanager.scheduler.fifo.FifoScheduler",
        "yarn.scheduler.minimum-allocation-mb": 128,
        f"{nm}.hostname": "127.0.0.1", f"{nm}.address": at["nm"], f"{nm}.localizer.address": at["localizer"],
        f"{nm}.webapp.address": at["nmweb"], f"{nm}.resource.memory-mb": 5120, f"{nm}.resource.cpu-vcores": 4,
        f"{nm}.vmem-check-enabled": "false", f"{nm}.pmem-check-enabled": "false",
        f"{nm}.local-dirs": folder / "local", f"{nm}.log-dirs": folder / "logs",
        f"{nm}.disk-health-checker.enable": "false", f"{nm}.delete.debug-delay-sec": 600,
    }  # fmt: skip


def _site(settings: Mapping[str, object]) -> str:
    rows = (f"  <property><name>{name}</name><value>{value}</value></property>" for name, value in settings.items())
    return "\n".join(['<?xml version="1.0"?>', "<configuration>", *rows, "</configuration>", ""])
