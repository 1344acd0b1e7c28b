"""The rules for the loss threshold T: one file a rule. The catalogue has their names."""
