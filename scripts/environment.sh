# Sourced by quickstart and test: find a Python, make a virtual environment, install this checkout into it.
# Names the system package that is missing, if any.

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 2
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
        [ -n "$candidate" ] || continue
        command -v "$candidate" >/dev/null 2>&1 || continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        "$candidate" -c 'import ensurepip, venv' 2>/dev/null || {
            no_venv="$candidate"
            continue
        }
        echo "$candidate"
        return 0
    done
    [ -z "${no_venv:-}" ] || fail "$no_venv has no venv module; install it: apt-get install python3-venv"
    fail "no Python 3.11 or newer; install one: apt-get install python3 python3-venv (or set PYTHON=/path/to/python)"
}

# make_environment FOLDER REQUIREMENT...
make_environment() {
    local folder="$1" python
    shift
    python="$(find_python)" || exit 2
    if [ ! -x "$folder/bin/python" ]; then
        echo "making a virtual environment in $folder ($("$python" --version))"
        "$python" -m venv "$folder" || fail "cannot make $folder; is the python3-venv package installed?"
    fi
    echo "installing $* (the first time takes about a minute)"
    # Modules are compiled when they are first imported, which most modules of the wheels never are.
    "$folder/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check "$@" \
        || fail "pip could not install $*; its last lines above say why (is the package index reachable?)"
}
