#!/bin/sh
# A checkout and a pip in, a folder of wheels out: submeter and what it needs, as locks/ names it.
#
#   PIP="python3 -m pip" EXTRAS=otlp deploy/install/wheels.sh dist/wheels
#
# LOCKED=0  takes the newest that pyproject.toml admits
set -eu

to=${1:?usage: wheels.sh FOLDER}
here=$(cd "$(dirname "$0")/../.." && pwd)
pip=${PIP:-python3 -m pip}
# shellcheck source=/dev/null
. "$here/deploy/install/locks.sh"

if [ "${LOCKED:-1}" = 0 ]; then
    # shellcheck disable=SC2086  # PIP is a command line
    exec $pip wheel --quiet --wheel-dir "$to" "$here${EXTRAS:+[$EXTRAS]}"
fi
files=$(locks "$here" "${EXTRAS:-}")
# shellcheck disable=SC2086
$pip wheel --quiet --wheel-dir "$to" --require-hashes $files
# shellcheck disable=SC2086
with_backend "$here" "$to/.build" \
    $pip wheel --quiet --wheel-dir "$to" --no-deps --no-build-isolation "$here"
