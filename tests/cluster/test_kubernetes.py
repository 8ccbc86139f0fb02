"""What ``conf/kubernetes`` asks a Kubernetes API for: Spark's own submission client, and a server that takes notes.

There is no Kubernetes where these tests run. They show that Spark reads the template, and which pod comes of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.jars import ROOT, java_home, spark_home

CONF = ROOT / "conf" / "kubernetes"
Created = tuple[str, dict[str, Any]]

pytestmark = [pytest.mark.cluster, pytest.mark.spark]


@pytest.fixture
def api() -> Iterator[tuple[str, list[Created]]]:
    """An address, and what was created there: (path, object)."""
    created: list[Created] = []

    class Recorder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            thing = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            thing["metadata"].setdefault("uid", str(len(created)))
            created.append((self.path, thing))
            self._answer(201, thing)

        do_PUT = do_PATCH = do_POST  # noqa: N815

        def do_GET(self) -> None:
            self._answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404})

        def _answer(self, code: int, thing: dict[str, Any]) -> None:
            body = json.dumps(thing).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", created
    server.shutdown()
    server.server_close()


def command(text: str) -> list[str]:
    """The words of the ``spark-submit`` command that the README shows."""
    start = text.index("    spark-submit --master k8s://")
    return text[start : text.index("\n\n", start)].replace("\\\n", " ").split()


def test_the_command_of_the_readme_asks_for_this_pod(api: tuple[str, list[Created]], tmp_path: Path) -> None:
    address, created = api
    words = command((CONF / "README.md").read_text())
    words[words.index("k8s://https://API_SERVER:6443")] = f"k8s://{address}"
    done = subprocess.run(
        [spark_home() / "bin" / words[0], *words[1:3], "--conf",
         "spark.kubernetes.submission.waitAppCompletion=false", *words[3:]],
        capture_output=True, text=True, check=False, timeout=600, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "JAVA_HOME": str(java_home()), "HOME": str(tmp_path),
             "SPARK_HOME": str(spark_home()), "SPARK_LOCAL_IP": "127.0.0.1"},
    )  # fmt: skip
    pods = [(path, thing) for path, thing in created if thing["kind"] == "Pod"]
    assert len(pods) == 1, done.stderr[-3000:]
    path, pod = pods[0]
    assert path.startswith("/api/v1/namespaces/imgsearch/pods")
    spec = pod["spec"]
    assert spec["serviceAccountName"] == "spark"
    assert spec["securityContext"]["runAsNonRoot"] is True
    container = next(c for c in spec["containers"] if c["name"] == "driver")
    assert container["image"] == "registry.example.com/imgsearch:0.1.0"
    application = container["args"].index("local:///opt/imgsearch/lib/python3.11/site-packages/imgsearch/__main__.py")
    assert container["args"][application + 1] == "pipeline"
    assert {"name": "SPARK_LOCAL_DIRS", "value": "/var/spark"} in container["env"]
