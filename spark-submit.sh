#!/usr/bin/env bash
# ./spark-submit.sh [spark-submit options] JOB [job options]
# Sets up what is missing, then runs the job by spark-submit (imgsearch/launcher.py makes the command).
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/setup.sh"
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"

# Help and mistakes are told before anything is brought or started; any Python can do that.
if [ -x "$VENV/bin/python" ]; then python="$VENV/bin/python"; else python="$(find_python)"; fi
status=0
"$python" -m imgsearch.launcher "$@" || status=$?
case "$status" in
    100) check_java; setup_python run; setup_jars ;;  # well-formed, and wants Spark
    101) setup_python run ;;                          # well-formed, and wants only Python
    *) exit "$status" ;;
esac
exec "$VENV/bin/python" -m imgsearch "$@"
