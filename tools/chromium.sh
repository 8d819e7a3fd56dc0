#!/bin/sh
# Chromium for the browser tests, from Debian's packages where we may install them. Its absence is no failure:
# those tests then skip with that reason. Only an unattended run (CI=true) as root treats it as one.
set -eu
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
tried=.venv/.chromium-tried
[ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || {
    echo "Chromium is not installed and cannot be installed from here: the browser tests will skip." >&2
    exit 0
}
if [ "${CI:-}" != true ] && [ -e "$tried" ]; then
    echo "Chromium could not be installed last time (remove $tried to try again): the browser tests will skip." >&2
    exit 0
fi
echo "Installing Chromium for the browser tests…" >&2
quick="-o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20"
export DEBIAN_FRONTEND=noninteractive
if apt-get $quick -qq update >/dev/null && apt-get $quick -qq install -y --no-install-recommends chromium >/dev/null; then
    exit 0
fi
[ "${CI:-}" != true ] || { echo "Chromium could not be installed, and an unattended run must not skip its tests." >&2; exit 1; }
: >"$tried"
echo "Chromium could not be installed: the browser tests will skip." >&2
