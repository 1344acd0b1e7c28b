"""What is done with high-confidence patterns: one file an operation. The catalogue has their names."""
