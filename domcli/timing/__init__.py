"""How long steps and evaluations take on a device, as `domcli bench` measured it, and what that makes of a run."""
