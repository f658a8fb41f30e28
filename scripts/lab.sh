#!/usr/bin/env bash
# Starts JupyterLab on the quickstart notebook: `PORT=8888 NO_BROWSER= scripts/lab.sh`. Prints the URL.
set -euo pipefail

options=(--port="${PORT:-8888}" --log-level=WARN --ServerApp.root_dir="$PWD")
if [ -n "${NO_BROWSER:-}" ]; then options+=(--no-browser); fi
if [ "$(id -u)" = 0 ]; then options+=(--allow-root); fi
# Which notebook is opened (as the address, so that the URL that is printed leads to it), no question about news, and no
# look for updates: nothing goes over the network that was not asked for.
export JUPYTER_CONFIG_PATH="$PWD/scripts/jupyter${JUPYTER_CONFIG_PATH:+:$JUPYTER_CONFIG_PATH}"

exec .venv/bin/jupyter lab "${options[@]}"
