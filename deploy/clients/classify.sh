#!/bin/sh
# Asks a running service about recordings:   sh classify.sh cry.wav [MORE...]
# Needs curl. CRYLENS_URL and CRYLENS_TOKEN say where to ask, and with what token.
set -eu
url=${CRYLENS_URL:-http://127.0.0.1:8000}
for recording in "$@"; do
    # --retry comes back after 408, 429 and 5xx, and waits as long as Retry-After says.
    curl --silent --show-error --fail-with-body --retry 5 \
        ${CRYLENS_TOKEN:+-H "Authorization: Bearer $CRYLENS_TOKEN"} \
        -H 'Accept: text/csv' -F "file=@$recording" "$url/v1/analyze"
done
