#!/usr/bin/env bash
# A worker, in the foreground. It needs Java, Spark's bin/, jars/ and python/lib/, and nothing of imgsearch.
#   SPARK_HOME=/opt/spark SPARK_WORKER_HOST=node1 SPARK_WORKER_CORES=16 SPARK_WORKER_MEMORY=48g bash worker.sh spark://head:7077
# Memory is the JVMs' alone: leave 1 GB for each core to the Python workers, which no setting of a standalone cluster counts.
set -euo pipefail
: "${SPARK_HOME:?name the folder of Spark, the one that has bin/spark-class}"
exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker \
    --host "${SPARK_WORKER_HOST:-127.0.0.1}" --webui-port "${SPARK_WORKER_WEBUI_PORT:-8081}" \
    --cores "${SPARK_WORKER_CORES:-$(nproc)}" --memory "${SPARK_WORKER_MEMORY:-4g}" \
    --work-dir "${SPARK_WORKER_DIR:-/var/lib/spark/work}" "${1:?name the master: spark://HOST:7077}"
