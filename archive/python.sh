#!/bin/sh
# The Python of this archive, wherever it was unpacked.
if [ "$(uname -sm)" != "@SYSTEM@ @MACHINE@" ]; then
    echo "imgsearch: this archive is for @SYSTEM@ @MACHINE@, and this machine is $(uname -sm): make one on such a machine (make package)" >&2
    exit 2
fi
env=$(cd "${0%/*}/.." && pwd -P) || exit 2
unset PYTHONHOME
LD_LIBRARY_PATH="$env/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
PYTHONNOUSERSITE=1
export LD_LIBRARY_PATH PYTHONNOUSERSITE
exec "$env/bin/@PYTHON@" "$@"
