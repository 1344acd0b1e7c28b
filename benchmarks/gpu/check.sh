#!/bin/sh
# Says within eight minutes whether the trainer is right on this machine's GPU, how fast it is, and what to do next.
# `benchmarks/gpu/check.sh --help` lists the options; PYTHON names the interpreter (default: python3). It must have
# domcli's packages; domcli itself is taken from the checkout that this file lies in.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 2
checkout=$(dirname -- "$(dirname -- "$here")")
export PYTHONPATH="$checkout${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" "$here/check.py" "$@"
