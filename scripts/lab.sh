#!/usr/bin/env bash
# Starts JupyterLab on a notebook: `PORT=8888 NO_BROWSER= scripts/lab.sh notebooks/01_quickstart.ipynb`. Prints the URL.
set -euo pipefail

options=(--port="${PORT:-8888}" --log-level=WARN)
if [ -n "${NO_BROWSER:-}" ]; then options+=(--no-browser); fi
if [ "$(id -u)" = 0 ]; then options+=(--allow-root); fi
# No question about news and no look for updates: nothing goes over the network that was not asked for.
export JUPYTER_CONFIG_PATH="$PWD/scripts/jupyter${JUPYTER_CONFIG_PATH:+:$JUPYTER_CONFIG_PATH}"

# As the default page, not as the file to open: the URL that is printed then leads to the notebook too.
options+=("--LabApp.default_url=/lab/tree/$1")
exec .venv/bin/jupyter lab "${options[@]}"
