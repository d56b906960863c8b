"""``olmoflow flow``: `command` runs it, `steps` reads the file and writes the command lines."""
