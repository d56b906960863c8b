"""``olmoflow extrapolate``: `command` runs it, `rungs` reads the ladder."""
