#!/usr/bin/env bash
# All else takes one core and the browser's tests little more than another, so both run at once.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

make --no-print-directory setup || exit  # now, or both would install at once
log=test-results/browser.log
mkdir -p test-results
echo "The browser's tests run meanwhile; what they say comes at the end, and is in $log."
make --no-print-directory test-browser >"$log" 2>&1 &
browser=$!
trap 'kill "$browser" 2>/dev/null' EXIT
make --no-print-directory lint test-js test-py
python=$?
wait "$browser"
panels=$?
cat "$log"
exit $((python > panels ? python : panels))
