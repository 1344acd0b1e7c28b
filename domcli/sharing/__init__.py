"""Several trainers on one device: what was measured, how many are best, and NVIDIA's service that mixes their work."""
