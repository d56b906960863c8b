"""``olmoflow synthesize``: `command` runs it, `recipes` its pipelines, `speakers` who answers."""
