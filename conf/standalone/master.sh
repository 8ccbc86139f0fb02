#!/usr/bin/env bash
# The master of a standalone cluster, in the foreground (for systemd, tmux, a container). The pip-installed pyspark has
# no sbin/start-master.sh; this needs only its bin/ and jars/.
#   SPARK_HOME=/opt/spark SPARK_MASTER_HOST=head bash master.sh
set -euo pipefail
: "${SPARK_HOME:?name the folder of Spark, the one that has bin/spark-class}"
exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.master.Master \
    --host "${SPARK_MASTER_HOST:-127.0.0.1}" --port "${SPARK_MASTER_PORT:-7077}" --webui-port "${SPARK_MASTER_WEBUI_PORT:-8080}"
