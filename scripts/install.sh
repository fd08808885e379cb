#!/bin/sh
# install.sh dev|runtime: the package, editable, in .venv, with every version pinned by constraints.txt.
#
# A stamp in .venv holds the fingerprint of what was installed and where, so that a second call is instant and a change
# of pyproject.toml or constraints.txt, or a moved repository, installs again. PYTHON=... chooses the interpreter of a
# new .venv.
set -eu
cd "$(dirname "$0")/.."
kind=$1

say() {
    if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then printf '\033[36m%-8s\033[0m %s\n' install "$1"; else printf '%-8s %s\n' install "$1"; fi
}

fail() {
    printf 'install: %s\n' "$@" >&2
    exit 1
}

runs() { # is this a Python that Tailrace runs on?
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

has_venv() { # Debian and Ubuntu split ensurepip off into a package of its own
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

# The first suitable interpreter that can make an environment, else the first suitable one.
find_python() {
    first=
    for candidate in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
        runs "$candidate" || continue
        if has_venv "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
        first=${first:-$candidate}
    done
    printf '%s\n' "$first"
}

get_venv_package() {
    package="$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    command -v apt-get >/dev/null 2>&1 ||
        fail "$1 cannot make virtual environments: its modules venv and ensurepip are missing; add them and try again"
    [ "$(id -u)" = 0 ] ||
        fail "$1 cannot make virtual environments; get what is missing with: sudo apt-get install $package"
    say "system package $package"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null
}

make_venv() {
    python=$(find_python)
    [ -n "$python" ] || fail "no ${PYTHON:-Python 3.11 or newer} found (on Debian and Ubuntu: apt-get install python3.11 python3.11-venv)"
    has_venv "$python" || get_venv_package "$python"
    say "environment with $("$python" --version)"
    "$python" -m venv --clear .venv
}

# What the tests run for real. Where it cannot be had, the tests that need it are skipped, and say so.
has() { # NAME: is this system package's program there?
    case $1 in
    chromium) command -v chromium >/dev/null 2>&1 ;;
    nodejs) command -v node >/dev/null 2>&1 ;;
    npm) command -v npm >/dev/null 2>&1 ;;
    redis-server) command -v redis-server >/dev/null 2>&1 ;;
    postgresql) command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ;;
    bubblewrap) command -v bwrap >/dev/null 2>&1 ;;
    ripgrep) command -v rg >/dev/null 2>&1 ;;
    libfaketime) ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 ;;
    esac
}

get_system_packages() {
    missing=
    for package in redis-server postgresql libfaketime bubblewrap ripgrep chromium nodejs npm; do
        has "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        say "missing for some tests, which are skipped:$missing (sudo apt-get install$missing)"
        return 0
    fi
    say "system packages$missing"
    # A server that the package would start is none of ours: the tests start their own.
    apt-get update -qq
    # shellcheck disable=SC2086  # names of packages, one word each
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# What looks the page over: its linter, and the tests' rules of accessibility; and the MCP servers that the tests call.
# None is part of the package.
NODE_TOOLS="@biomejs/biome@2.6.8 axe-core@4.14.1 @modelcontextprotocol/server-everything@2026.8.31 \
    @modelcontextprotocol/server-filesystem@2026.8.31"

get_node_tools() {
    command -v npm >/dev/null 2>&1 || return 0
    say "tools of npm for the tests"
    # shellcheck disable=SC2086  # names of packages, one word each
    npm install --silent --no-audit --no-fund --no-save --prefix .venv/node $NODE_TOOLS >/dev/null
}

usable() { # a .venv that was made here (scripts in it hold its path) and whose interpreter is still there
    [ "$(.venv/bin/python -c 'import os, pip, sys; print(os.path.realpath(sys.prefix))' 2>/dev/null)" = "$(pwd -P)/.venv" ]
}

fingerprint="$(pwd -P) $(cat pyproject.toml constraints.txt scripts/install.sh | cksum)"
stamp=.venv/installed-$kind
[ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$fingerprint" ] && exit 0

usable || make_venv
export PIP_DISABLE_PIP_VERSION_CHECK=1
pip() { .venv/bin/python -m pip install -qq --constraint constraints.txt "$@"; }
pip pip # an older one knows neither dependency groups nor build constraints
say "packages ($kind)"
if [ "$kind" = dev ]; then
    pip --build-constraint constraints.txt --editable '.[bedrock,mcp,postgres,redis,vertex]' --group dev
    get_system_packages
    get_node_tools
    printf '%s\n' "$fingerprint" >.venv/installed-runtime
else
    pip --build-constraint constraints.txt --editable '.[bedrock,mcp,postgres,redis,vertex]'
fi
printf '%s\n' "$fingerprint" >"$stamp"
