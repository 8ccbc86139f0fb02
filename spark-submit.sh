#!/usr/bin/env bash
# ./spark-submit.sh [spark-submit options] JOB [job options]
# Sets up what is missing, then runs the job by spark-submit. Options before the job's name are spark-submit's own.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/setup.sh"

# spark-submit options that stand alone; every other one takes the next word as its value.
FLAGS=" --verbose -v --supervise --version --usage-error --load-spark-defaults "

submit_options=()
master="" memory="" properties=""
while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) set -- help ; break ;;
        --*=*)  # --name=value, as spark-submit allows
            set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
        -*)
            if [[ "$FLAGS" == *" $1 "* ]]; then
                submit_options+=("$1"); shift
            else
                [ $# -ge 2 ] || fail "spark-submit option $1 needs a value; \`./spark-submit.sh --help\` shows the order of the arguments"
                case "$1" in
                    --master) master="$2" ;;
                    --driver-memory) memory="$2" ;;
                    --properties-file) properties="$2" ;;
                    --conf | -c)
                        case "$2" in spark.master=*) master="${2#*=}" ;; spark.driver.memory=*) memory="${2#*=}" ;; esac ;;
                esac
                submit_options+=("$1" "$2"); shift 2
            fi ;;
        *) break ;;
    esac
done
job="${1:-help}"
shift || true

case " ${submit_options[*]:-} " in *" --version "*) job=version ;; esac
if [ "$job" != help ] && [ "$job" != version ] && [ ! -f "$ROOT/jobs/$job.py" ]; then
    jobs="$(cd "$ROOT/jobs" && ls *.py | sed 's/\.py$//' | tr '\n' ' ')"
    fail "there is no job '$job'; the jobs are: ${jobs% } (\`./spark-submit.sh --help\` says what each does)"
fi

check_java
setup_python run
PYTHON="$VENV/bin/python"
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"

# What needs no Spark is answered before one is started: the help, the list of encoders, a mistake in the options.
case "$job" in
    help) exec "$PYTHON" -m imgsearch.job help ;;
    version) setup_jars; exec "$VENV/bin/spark-submit" --version ;;
esac
status=0
"$PYTHON" -m imgsearch.job check "$job" "$@" || status=$?
[ "$status" -eq 100 ] || exit "$status"   # 100: well-formed, and wants Spark

setup_jars

megabytes() {  # memory this process may use: the machine's, or its container's limit
    local total limit=""
    total=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo 2>/dev/null || echo 8388608) / 1024))
    limit="$(cat /sys/fs/cgroup/memory.max 2>/dev/null || true)"
    if [[ "$limit" =~ ^[0-9]+$ ]] && [ $((limit / 1048576)) -lt "$total" ]; then total=$((limit / 1048576)); fi
    echo "$total"
}

defaults=()
if [ -z "$master" ] && [ -n "${MASTER:-}" ]; then master="$MASTER"; fi
if [ -z "$master" ] && [ -z "$properties" ]; then master="local[*]"; defaults+=(--master "$master"); fi
case "$master" in
    local*)
        # The JVM needs little beside the Python workers: a quarter of the memory, 1 to 8 GB.
        if [ -z "$memory" ]; then
            quarter=$(($(megabytes) / 4))
            defaults+=(--driver-memory "$((quarter < 1024 ? 1024 : quarter > 8192 ? 8192 : quarter))m")
        fi
        # Spark's default of 200 shuffle partitions is for clusters; here a few for each core do.
        defaults+=(--conf "spark.sql.shuffle.partitions=$((2 * $(nproc)))")
        # A demo is over before the JVM's second compiler has paid for itself: the first one alone halves its CPU time.
        if [ "$job" = demo ]; then
            defaults+=(--conf "spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        fi
        export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}" ;;
    *)
        # Executors elsewhere get the package; their Python environment is theirs (see docs/deployment.md).
        package="$CACHE/imgsearch.zip"
        mkdir -p "$CACHE"
        "$PYTHON" -m imgsearch.lake.package "$package"
        defaults+=(--py-files "$package") ;;
esac
if [ -z "$properties" ]; then
    defaults+=(--properties-file "$ROOT/imgsearch/conf/spark-defaults.conf")
    if [ -n "${SPARK_CONF_DIR:-}" ]; then defaults+=(--load-spark-defaults); fi
fi
if [ -t 2 ]; then
    export IMGSEARCH_PROGRESS=1
    # Spark's bar, where no job of ours draws its own on the same line.
    case "$job" in embed | pipeline | demo) ;; *) defaults+=(--conf spark.ui.showConsoleProgress=true) ;; esac
fi
export SPARK_CONF_DIR="${SPARK_CONF_DIR:-$ROOT/imgsearch/conf}"
export PYSPARK_PYTHON="${PYSPARK_PYTHON:-$PYTHON}" PYSPARK_DRIVER_PYTHON="${PYSPARK_DRIVER_PYTHON:-$PYTHON}"
export SPARK_HOME="$("$PYTHON" -c 'import importlib.util as u; print(u.find_spec("pyspark").submodule_search_locations[0])')"
# A user's own --jars are added to Delta's, not instead of them.
for i in "${!submit_options[@]}"; do
    if [ "${submit_options[$i]}" = --jars ]; then submit_options[i+1]="$DELTA_JARS,${submit_options[i+1]}"; DELTA_JARS=""; fi
    if [ "${submit_options[$i]}" = --py-files ]; then submit_options[i+1]="${package:+$package,}${submit_options[i+1]}"; fi
done
if [ -n "$DELTA_JARS" ]; then defaults+=(--jars "$DELTA_JARS"); fi

quiet() {  # drops the line every Spark JVM begins with; the rest passes as it comes, progress bars too
    local line
    while IFS= read -r line; do
        case "$line" in
            "WARNING: Using incubator modules: jdk.incubator.vector") break ;;
            *) printf '%s\n' "$line" ;;
        esac
    done
    exec cat
}
exec 2> >(quiet >&2)
exec "$SPARK_HOME/bin/spark-submit" "${defaults[@]}" "${submit_options[@]}" "$ROOT/jobs/$job.py" "$@"
