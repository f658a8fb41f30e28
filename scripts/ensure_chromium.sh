#!/usr/bin/env bash
# Sees to it that there is a Chromium for the browser tests: Debian's, installed when it is missing and that is allowed.
# Without one the browser tests are skipped by name; in continuous integration (CI=true) that is a failure.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then exit 0; fi
done

why="apt-get is not here"
if command -v apt-get >/dev/null; then
  as_root=()
  why="installing needs root, or sudo without a password"
  if [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null && as_root=(sudo -n); }; then
    echo "Installing Debian's chromium for the browser tests…"
    export DEBIAN_FRONTEND=noninteractive
    if "${as_root[@]}" apt-get -qq update </dev/null &&
      "${as_root[@]}" apt-get -qq install -y --no-install-recommends chromium </dev/null >/dev/null; then
      exit 0
    fi
    why="apt-get could not install it"
  fi
fi

if [ "${CI:-}" = true ]; then
  echo "Chromium is missing and $why: in CI the browser tests must run." >&2
  exit 1
fi
echo "Chromium is missing and $why: the browser tests will be skipped." >&2
