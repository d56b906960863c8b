"""``olmoflow evaluate``: `command` runs it, `tasks` a suite of tasks, `tables` prints."""
