"""`python -m domcli` is `domcli`."""

from __future__ import annotations

from domcli.cli.main import main

main()
