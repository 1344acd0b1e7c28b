"""The dashboard: a Textual app that watches, explains and steers the runs of a runs directory."""
