#!/bin/sh
# A program that some tests need, from Debian's packages where we may install them:
#   sh tools/debian_package.sh chromium|mosquitto|postgresql
# Its absence is no failure: those tests then skip with that reason. Only an unattended run (CI=true) as root
# treats it as one.
set -eu
package=${1:?which package: chromium, mosquitto or postgresql}
case $package in
    chromium) name=Chromium tests="the browser tests" there=chromium ;;
    mosquitto) name=mosquitto tests="the tests with a broker" there=mosquitto ;;
    postgresql) name=PostgreSQL tests="the history's tests" there=initdb ;;
    *) echo "No tests need a package '$package'; there are chromium, mosquitto and postgresql." >&2; exit 2 ;;
esac
PATH=$PATH:/usr/sbin:/usr/local/sbin
for server in /usr/lib/postgresql/*/bin; do
    PATH=$PATH:$server
done
for program in $there; do
    command -v "$program" >/dev/null 2>&1 && exit 0
done
tried=.venv/.$package-tried
[ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || {
    echo "$name is not installed and cannot be installed from here: $tests will skip." >&2
    exit 0
}
if [ "${CI:-}" != true ] && [ -e "$tried" ]; then
    echo "$name could not be installed last time (remove $tried to try again): $tests will skip." >&2
    exit 0
fi
echo "Installing $name for $tests…" >&2
quick="-o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20"
export DEBIAN_FRONTEND=noninteractive
if [ "$package" = postgresql ]; then
    # The tests start a server of their own; the package would make a database and start a server for it.
    ours=/etc/postgresql-common/createcluster.d/crylens-tests.conf
    mkdir -p "${ours%/*}"
    echo "create_main_cluster = false" >"$ours"
    trap 'rm -f "$ours"' EXIT
fi
if apt-get $quick -qq update >/dev/null && apt-get $quick -qq install -y --no-install-recommends "$package" >/dev/null; then
    exit 0
fi
[ "${CI:-}" != true ] || { echo "$name could not be installed, and an unattended run must not skip its tests." >&2; exit 1; }
: >"$tried"
echo "$name could not be installed: $tests will skip." >&2
