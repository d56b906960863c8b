"""Processes that a command starts: the ranks of a run, jobs of SLURM, vLLM's server."""
