"""The trainer process: the only package that imports torch. `python -m domcli.trainer RUN_DIRECTORY`."""
