"""The command line: one file a command, Typer only here, `output.py` the only writer to stdout."""
