"""How fast this machine trains: `python -m domcli.trainer.bench` measures, and tells in JSON lines on its stdout."""
