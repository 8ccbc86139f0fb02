"""``python embed_run.py MASTER WAREHOUSE ENCODER``: one run of ``embed`` in its own process; prints its summary."""

from __future__ import annotations

import json
import logging
import os
import sys


def main(master: str, warehouse: str, encoder: str) -> None:
    """Run, print a line of JSON."""
    from imgsearch.config import EmbedConfig
    from imgsearch.encoders import embed
    from imgsearch.lake.session import build_session

    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    spark = build_session(
        "embed", spark__master=master, spark__driver__memory="768m", spark__sql__shuffle__partitions="2",
        spark__ui__enabled="false", spark__ui__showConsoleProgress="false", spark__driver__host="127.0.0.1",
        spark__databricks__delta__snapshotPartitions="1", spark__executorEnv__PYTHONPATH=os.environ["PYTHONPATH"],
        spark__executor__memory="512m",
    )  # fmt: skip
    summary = embed.run(spark, EmbedConfig(warehouse=warehouse, encoder=encoder))
    counts = {"in": summary.rows_in, "out": summary.rows_out, "bad": summary.quarantined}
    print(json.dumps(counts | dict(summary.details)), flush=True)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
