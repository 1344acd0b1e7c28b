"""Start, stop and resume trainer processes."""
