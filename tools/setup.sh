#!/bin/sh
# Makes .venv and installs one set of pinned requirements into it; a second call takes a moment.
#   sh tools/setup.sh lite|full|train|test     (each set holds the one before it; so does test hold serve)
#   sh tools/setup.sh serve                    (the service alone: no pages, no TensorFlow)
# PYTHON names the interpreter to use when the one found is not the one you want.
set -eu
cd "$(dirname "$0")/.."
unset PYTHONHOME PYTHONPATH
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

wanted=${1:?which set: lite, full, train, serve or test}
venv=.venv
python=$venv/bin/python
busy=$venv.busy

ours=
say() { printf '%s\n' "$*" >&2; }
fail() {
    say "" "Set-up stopped: $1"; shift
    for line in "$@"; do say "  $line"; done
    [ -z "${ours:-}" ] || rm -rf "$busy"
    exit 1
}
files_of() {
    case $1 in
        lite) echo requirements-lite.txt ;;
        full) echo "$(files_of lite) requirements.txt" ;;
        train) echo "$(files_of full) requirements-train.txt" ;;
        serve) echo requirements-serve.txt ;;
        test) echo "$(files_of train) $(files_of serve) requirements-test.txt" ;;
    esac
}
# The place of the folder counts too: an environment that was moved or copied points to the old one.
print_of() { { pwd -P; cat $(files_of "$1") pyproject.toml tools/setup.sh; } | cksum | tr -d ' \t'; }
is_set_up() {
    [ -x "$python" ] || return 1
    for larger in lite full train serve test; do
        case "$(files_of $larger)" in *"$(files_of "$wanted")"*) ;; *) continue ;; esac
        [ "$(cat "$venv/.set-up-$larger" 2>/dev/null)" = "$(print_of $larger)" ] && return 0
    done
    return 1
}

usable='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
find_python() {
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
        "$candidate" -c "$usable" >/dev/null 2>&1 || continue
        found=$candidate
        # Debian splits ensurepip off into python3-venv; a pip that is there can stand in for it.
        "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1 && return 0
        "$candidate" -c 'import venv, pip' >/dev/null 2>&1 && return 0
    done
    [ -z "${found:-}" ] || fail "$("$found" --version) is here, but cannot make a virtual environment." \
        "On Debian or Ubuntu: apt-get install python3-venv. Then run the same command again."
    fail "no Python 3.11, 3.12 or 3.13 was found (looked for: ${PYTHON:-python3.11 python3.12 python3.13 python3 python})." \
        "Install one, or name it: make run PYTHON=/path/to/python3.11"
}
make_venv() {
    find_python
    say "Making $venv with $("$found" --version)…"
    if "$found" -c 'import ensurepip' >/dev/null 2>&1; then
        "$found" -m venv --clear "$venv"
    else
        "$found" -m venv --clear --without-pip "$venv"
        "$found" -m pip --python "$python" install -q pip
    fi
}

case $wanted in
    lite | full | train | serve | test) ;;
    *) fail "no set is called '$wanted'; there are lite, full, train, serve and test." ;;
esac
is_set_up && exit 0

# An environment is filled by one process at a time, and one that was left half filled is made anew.
mkdir "$busy" 2>/dev/null || {
    other=$(cat "$busy/pid" 2>/dev/null || echo none)
    if [ "$other" != none ] && kill -0 "$other" 2>/dev/null; then
        fail "process $other is setting up this folder just now." "Wait for it, then run the same command again."
    fi
    say "The last set-up was interrupted: starting afresh."
    rm -rf "$venv"
}
ours=yes
echo $$ >"$busy/pid"
trap 'exit 130' INT TERM HUP

if [ ! -x "$python" ] || ! "$python" -c "$usable" || ! "$python" -m pip --version >/dev/null 2>&1; then
    make_venv
fi
say "Installing the '$wanted' requirements (the first time: a few minutes, up to 2 GB)…"
last=$(files_of "$wanted"); last=${last##* }
# --no-deps: the files are complete locks, and tf-keras would pull a second, larger TensorFlow (docs/dependencies.md).
"$python" -m pip install -q --no-deps -r "$last" || {
    fail "the packages could not be installed (the lines above say why)." \
        "A package registry must be reachable (PyPI, or the one pip is configured for). Then run the same command again."
}
"$python" -m pip install -q --no-deps --no-build-isolation -e . || fail "the crylens command could not be installed."
print_of "$wanted" >"$venv/.set-up-$wanted"
rm -rf "$busy"
say "Ready: $("$python" --version), $("$python" -m pip list 2>/dev/null | tail -n +3 | wc -l | tr -d ' ') packages."
