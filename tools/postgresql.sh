#!/bin/sh
# PostgreSQL for the history's tests, from Debian's packages where we may install them; the tests start a server
# of their own. Its absence is no failure: those tests then skip with that reason. Only an unattended run
# (CI=true) as root treats it as one.
set -eu
command -v initdb >/dev/null 2>&1 && exit 0
for found in /usr/lib/postgresql/*/bin/initdb; do
    [ -x "$found" ] && exit 0
done
tried=.venv/.postgresql-tried
[ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || {
    echo "PostgreSQL is not installed and cannot be installed from here: its tests will skip." >&2
    exit 0
}
if [ "${CI:-}" != true ] && [ -e "$tried" ]; then
    echo "PostgreSQL could not be installed last time (remove $tried to try again): its tests will skip." >&2
    exit 0
fi
echo "Installing PostgreSQL for the history's tests…" >&2
quick="-o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20"
export DEBIAN_FRONTEND=noninteractive
# The package would make a database of its own and start a server for it.
ours=/etc/postgresql-common/createcluster.d/crylens-tests.conf
mkdir -p "${ours%/*}"
echo "create_main_cluster = false" >"$ours"
trap 'rm -f "$ours"' EXIT
if apt-get $quick -qq update >/dev/null && apt-get $quick -qq install -y --no-install-recommends postgresql >/dev/null; then
    exit 0
fi
[ "${CI:-}" != true ] || { echo "PostgreSQL could not be installed, and an unattended run must not skip its tests." >&2; exit 1; }
: >"$tried"
echo "PostgreSQL could not be installed: its tests will skip." >&2
