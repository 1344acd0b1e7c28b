"""Exchange with other tools: logs of the official implementation come in, tables, event files and figures go out."""
