"""``olmoflow train``: `command` prepares and starts a run, `rank` is one process of it.

- `start`: the checkpoint that a run starts from, checked without torch.
- `reference`: the log-probabilities that a preference loss measures the model against.
"""
