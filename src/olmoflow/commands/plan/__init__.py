"""``olmoflow plan``: `command` runs it, `tables` prints it."""
