#!/usr/bin/env bash
# Whole rows of the paper's tables, as far as they fit into a time budget, on a machine with a GPU; called again, it
# goes on with what is missing. Options: bash benchmarks/gpu/reproduce.sh --help
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PYTHONPATH="$checkout${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" "$checkout/benchmarks/gpu/reproduce.py" "$@"
