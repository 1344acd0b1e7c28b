"""Queue, start, stop and resume trainers, which a launcher meets in the run directory and nowhere else."""
