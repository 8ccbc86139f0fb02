#!/usr/bin/env bash
# What a run needs, made once and kept in the checkout: the Python environment (.venv, from uv.lock) and Delta's jars
# (.cache/jars). Sourced by spark-submit.sh and called by the Makefile: `setup.sh [run|dev] [jars]`.
# Quick when nothing changed: two stamps are compared and that is all.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
VENV="$ROOT/.venv"
CACHE="$ROOT/.cache"
UV_VERSION=0.13.9
DELTA_VERSION=4.4.0
# What uv.lock brings, to download and on disk (Linux, x86_64); tests/test_setup.py adds the lock up.
SIZE_RUN="0.7 GB to download, 1.4 GB on disk, most of it Spark"
SIZE_TORCH="3.0 GB to download, 5.4 GB on disk: torch, torchvision and CUDA"
SIZE_DEV="4.0 GB to download, 7 GB on disk, most of it torch and CUDA"
export IMGSEARCH_SETUP="$ROOT/setup.sh"

fail() { printf '%s\n' "$*" >&2; exit 2; }
say() { printf '%s\n' "$*" >&2; }

find_python() {  # prints a Python 3.11+ of this machine
    local candidate found=""
    for candidate in ${IMGSEARCH_PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        found="${found:-$("$candidate" -c 'import platform; print(platform.python_version())' 2>/dev/null || true)}"
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'  # the interpreter itself, not a shim before it
            return
        fi
    done
    fail "imgsearch needs Python 3.11, 3.12 or 3.13 (found: ${found:-none}); install one, e.g. \`sudo apt-get install python3 python3-venv\`, or name it in IMGSEARCH_PYTHON"
}

check_java() {
    local java version
    if [ -n "${JAVA_HOME:-}" ]; then java="$JAVA_HOME/bin/java"; else java="$(command -v java || true)"; fi
    if [ -z "$java" ] || [ ! -x "$java" ]; then
        fail "imgsearch needs Java 17 or 21 (found: none${JAVA_HOME:+ in JAVA_HOME=$JAVA_HOME}); install it, e.g. \`sudo apt-get install openjdk-17-jre-headless\`, or set JAVA_HOME"
    fi
    version="$("$java" -version 2>&1 | sed -n 's/.*version "\([^"]*\)".*/\1/p' | head -n 1)"
    case "${version%%[.-]*}" in
        1[7-9] | 2[0-9]) JAVA="$java" ;;
        *) fail "imgsearch needs Java 17 or 21 (found: ${version:-unknown} at $java); install it, e.g. \`sudo apt-get install openjdk-17-jre-headless\`, or set JAVA_HOME" ;;
    esac
}

find_uv() {  # prints a uv; brings one from PyPI where there is none
    if command -v uv >/dev/null 2>&1; then command -v uv; return; fi
    local home="$CACHE/uv-$UV_VERSION" python
    if [ ! -x "$home/bin/uv" ]; then
        python="$(find_python)"
        say "setup: bringing uv $UV_VERSION from PyPI (once)"
        rm -rf "$home"
        if "$python" -m venv "$home.venv" >/dev/null 2>&1; then
            "$home.venv/bin/python" -m pip install --quiet --disable-pip-version-check --target "$home" "uv==$UV_VERSION" >&2
            rm -rf "$home.venv"
        else
            rm -rf "$home.venv"
            "$python" -m pip install --quiet --disable-pip-version-check --target "$home" "uv==$UV_VERSION" >&2 ||
                fail "neither the module venv nor pip works in $python; install them, e.g. \`sudo apt-get install python3-venv python3-pip\`"
        fi
    fi
    printf '%s\n' "$home/bin/uv"
}

stamp_of() { cat "$ROOT/uv.lock" "$ROOT/pyproject.toml" "$ROOT/setup.sh" | cksum; }

sync() {  # sync STAMP WHAT [uv options]: the locked packages into .venv, with uv's own progress
    local stamp="$VENV/.stamp-$1" expected uv python what="$2"
    expected="$(stamp_of) $ROOT"
    if [ -x "$VENV/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$expected" ]; then return; fi
    shift 2
    # uv makes the environment anew when it is asked for another interpreter than the one it has
    if [ -x "$VENV/bin/python" ]; then python="$VENV/bin/python"; else python="$(find_python)"; fi
    uv="$(find_uv)"
    say "setup: $what (once)"
    # Compiled at once: every Python worker imports pandas, pyspark and more, and not all may write their bytecode down.
    UV_PYTHON_DOWNLOADS=never uv_with_progress "$uv" sync --project "$ROOT" --frozen --inexact --compile-bytecode \
        --python "$python" --no-default-groups --extra spark "$@" ||
        fail "uv could not install the environment of uv.lock; is PyPI reachable from here? (see the lines above)"
    printf '%s' "$expected" >"$stamp"
}

uv_with_progress() {  # on a terminal uv draws its bars; elsewhere its lines, without the list of every package
    if [ -t 2 ]; then "$@" >&2; else "$@" 2>&1 | { grep -v '^ [+~-] ' || true; } >&2; fi
}

setup_python() {  # run | dev
    local extra stamp
    if [ "$1" = dev ]; then
        sync dev "installing what development needs into .venv: $SIZE_DEV" --extra torch --group dev
        cp "$VENV/.stamp-dev" "$VENV/.stamp-run"; cp "$VENV/.stamp-dev" "$VENV/.stamp-extra-torch"
    else
        sync run "installing the locked environment into .venv: $SIZE_RUN"
    fi
    for stamp in "$VENV"/.stamp-extra-*; do  # extras follow the lock too
        [ -f "$stamp" ] || continue
        extra="${stamp##*.stamp-extra-}"
        sync "extra-$extra" "bringing the extra '$extra' up to date" --extra "$extra"
    done
}

setup_extra() {  # setup_extra NAME WHY
    local size=""
    case "$1" in torch | timm) size=": $SIZE_TORCH" ;; esac
    sync "extra-$1" "$2; installing the extra '$1' into .venv$size" --extra "$1"
}

setup_jars() {
    local jars="$CACHE/jars/$DELTA_VERSION" spark_jars log artifact
    DELTA_JARS="$jars/delta-spark_4.2_2.13-$DELTA_VERSION.jar,$jars/delta-storage-$DELTA_VERSION.jar"
    if [ -f "$jars/.complete" ]; then return; fi
    say "setup: bringing Delta Lake $DELTA_VERSION by Ivy (once; 10 MB)"
    spark_jars="$("$VENV/bin/python" -c 'import importlib.util as u; print(u.find_spec("pyspark").submodule_search_locations[0])')/jars"
    mkdir -p "$jars"
    log="$jars/ivy.log"
    for artifact in delta-spark_4.2_2.13 delta-storage; do
        "$JAVA" -cp "$spark_jars/*" org.apache.ivy.Main -cache "$CACHE/ivy" -types jar -notransitive \
            -dependency io.delta "$artifact" "$DELTA_VERSION" \
            -retrieve "$jars/[artifact]-[revision].[ext]" >"$log" 2>&1 && [ -f "$jars/$artifact-$DELTA_VERSION.jar" ] ||
            fail "Ivy could not bring io.delta:$artifact:$DELTA_VERSION; is Maven Central (or a mirror) reachable from here? What it said is in $log"
    done
    touch "$jars/.complete"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    case "${1:-run}" in
        extra) setup_extra "$2" "${3:-it was asked for}" ;;
        uv) find_uv ;;
        *) check_java; setup_python "${1:-run}"; setup_jars ;;
    esac
fi
