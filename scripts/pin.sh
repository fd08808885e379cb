#!/bin/sh
# pin.sh: write constraints.txt anew, from a fresh environment with the newest versions that pyproject.toml allows.
#
# Versions only: where a package comes from is each machine's own setting. The same versions must do on every Python
# from 3.11 to 3.14, so run `make test` on the oldest and the newest afterwards.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
.venv/bin/python -m venv "$folder/venv"
pip="$folder/venv/bin/python -m pip --disable-pip-version-check"
$pip install --quiet --upgrade pip
$pip install --quiet --editable '.[bedrock,mcp,postgres,redis,vertex]' --group dev hatchling editables trove-classifiers setuptools
{
    echo "# Every version of everything that is installed, build tools included, for Python 3.11 to 3.14."
    echo "# Written by \`make pin\`."
    $pip freeze --all --exclude-editable | sort -f
} >constraints.txt
