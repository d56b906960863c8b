"""``olmoflow compare``: `command` runs it, `tables` prints it."""
