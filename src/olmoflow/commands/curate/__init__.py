"""``olmoflow curate``: `command` runs it, `pipeline` makes steps, `questions` only answers."""
