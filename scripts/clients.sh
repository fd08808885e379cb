#!/bin/sh
# clients.sh: real clients, each kind in an environment of its own under .venv-clients (kept outside of git).
#
# What is wanted stands in tests/clients/environments, with every version. A stamp holds the fingerprint of what was
# installed, so that a second call is instant and another version installs again. The Python ones take .venv's
# interpreter, the JavaScript ones npm; the Node that they run on comes with them.
set -eu
cd "$(dirname "$0")/.."
wanted=tests/clients/environments
folder=.venv-clients

say() {
    if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then printf '\033[36m%-8s\033[0m %s\n' clients "$1"; else printf '%-8s %s\n' clients "$1"; fi
}

fingerprint() { printf '%s %s' "$(pwd -P)" "$(cksum <"$1")"; }

is_there() { # name, what is wanted
    [ "$(cat "$folder/$1/installed" 2>/dev/null)" = "$(fingerprint "$2")" ]
}

python() { # name
    requirements=$wanted/$1.txt
    is_there "$1" "$requirements" && return
    say "$1"
    .venv/bin/python -m venv --clear "$folder/$1"
    export PIP_DISABLE_PIP_VERSION_CHECK=1
    "$folder/$1/bin/python" -m pip install -qq --requirement "$requirements"
    fingerprint "$requirements" >"$folder/$1/installed"
}

node() {
    is_there node "$wanted/package.json" && return
    say node
    command -v npm >/dev/null 2>&1 || { echo "clients: npm is missing (on Debian and Ubuntu: apt-get install npm)" >&2; exit 1; }
    rm -rf "$folder/node"
    mkdir -p "$folder/node"
    cp "$wanted/package.json" "$folder/node/"
    (cd "$folder/node" && npm install --no-audit --no-fund --no-package-lock --loglevel=error >/dev/null)
    fingerprint "$wanted/package.json" >"$folder/node/installed"
}

python python
python python-openai2
node
