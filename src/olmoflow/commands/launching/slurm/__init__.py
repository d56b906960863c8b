"""``cluster=slurm``: a command, or each cell of a sweep, becomes a job instead of running here.

- `script`: the sbatch script, one readable template.
- `submit`: checks, the job folder with its snapshot of the code, and ``sbatch``.
- `job`: what runs in the allocation, from the saved config and the snapshot.
"""
