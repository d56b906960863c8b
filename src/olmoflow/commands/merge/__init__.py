"""``olmoflow merge``: `command` runs it, `fold` puts adapters into their base."""
