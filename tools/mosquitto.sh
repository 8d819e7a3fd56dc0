#!/bin/sh
# The MQTT broker for the monitor's tests, from Debian's packages where we may install them. Its absence is no
# failure: those tests then skip with that reason. Only an unattended run (CI=true) as root treats it as one.
set -eu
PATH=$PATH:/usr/sbin:/usr/local/sbin
command -v mosquitto >/dev/null 2>&1 && exit 0
tried=.venv/.mosquitto-tried
[ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || {
    echo "mosquitto is not installed and cannot be installed from here: the tests with a broker will skip." >&2
    exit 0
}
if [ "${CI:-}" != true ] && [ -e "$tried" ]; then
    echo "mosquitto could not be installed last time (remove $tried to try again): its tests will skip." >&2
    exit 0
fi
echo "Installing mosquitto for the tests with a broker…" >&2
quick="-o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20"
export DEBIAN_FRONTEND=noninteractive
if apt-get $quick -qq update >/dev/null && apt-get $quick -qq install -y --no-install-recommends mosquitto >/dev/null; then
    exit 0
fi
[ "${CI:-}" != true ] || { echo "mosquitto could not be installed, and an unattended run must not skip its tests." >&2; exit 1; }
: >"$tried"
echo "mosquitto could not be installed: the tests with a broker will skip." >&2
