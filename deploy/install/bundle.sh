#!/bin/sh
# A checkout and a pip in, a folder out that needs nothing but Python 3.11 on the node it goes to.
#
#   PIP="python3 -m pip" deploy/install/bundle.sh build/bundle
#
# WHEELS=dir  takes every wheel from there and uses no network (`make wheels` fills such a folder)
# EXTRAS=otlp,parquet  adds what those exporters need
# LOCKED=0  takes the newest that pyproject.toml admits, not what locks/ names by hash
set -eu

to=${1:?usage: bundle.sh FOLDER}
here=$(cd "$(dirname "$0")/../.." && pwd)
pip=${PIP:-python3 -m pip}
what=submeter${EXTRAS:+[$EXTRAS]}
# shellcheck source=/dev/null
. "$here/deploy/install/locks.sh"

rm -rf "$to"
mkdir -p "$to/lib" "$to/bin"
if [ -n "${WHEELS:-}" ]; then
    # shellcheck disable=SC2086  # PIP is a command line
    $pip install --quiet --no-compile --no-index --find-links "$WHEELS" --target "$to/lib" "$what"
elif [ "${LOCKED:-1}" = 0 ]; then
    # shellcheck disable=SC2086
    $pip install --quiet --no-compile --target "$to/lib" "$here${EXTRAS:+[$EXTRAS]}"
else
    files=$(locks "$here" "${EXTRAS:-}")
    # shellcheck disable=SC2086
    $pip install --quiet --no-compile --target "$to/lib" --require-hashes $files
    # shellcheck disable=SC2086
    with_backend "$here" "$to/.build" \
        $pip install --quiet --no-compile --target "$to/lib" --upgrade --no-deps --no-build-isolation "$here"
fi
rm -rf "$to/lib/bin"
cp "$here/deploy/install/submeter" "$to/bin/"
cp "$here/deploy/install/install.sh" "$to/"
mkdir "$to/deploy"
for each in systemd slurm prometheus grafana submeter.toml; do
    [ ! -e "$here/deploy/$each" ] || cp -R "$here/deploy/$each" "$to/deploy/"
done
cp -R "$here/docs" "$to/deploy/"

# The version, and which code it is: the same code makes the same name.
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$to/lib/submeter/__init__.py")
code=$(cd "$to" && find . -type f ! -name '*.pyc' ! -path '*.dist-info/*' -print | LC_ALL=C sort |
    xargs -d '\n' sha256sum | sha256sum | cut -c 1-12)
echo "$version-$code" > "$to/VERSION"
