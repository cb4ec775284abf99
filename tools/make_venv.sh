#!/bin/sh
# Make a virtual environment with the first Python that is new enough, or print one line with the reason.
set -eu
venv=$1
for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if command -v "$python" >/dev/null 2>&1 &&
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "openpns: $python has no venv module; on Debian: apt-get install python3-venv" >&2
            exit 1
        fi
        exec "$python" -m venv --clear "$venv"
    fi
done
python=${PYTHON:-python3}
version=missing
command -v "$python" >/dev/null 2>&1 && version=$("$python" --version 2>&1)
echo "openpns: needs Python 3.11 or newer; $python is $version" \
    "(name another: make PYTHON=/path/to/python3)" >&2
exit 1
