"""What `domcli doctor` looks at: plain functions that return checks. Torch is asked in a process of its own."""
