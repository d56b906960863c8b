"""``olmoflow score``: `command` runs it, `rank` is one process that scores."""
