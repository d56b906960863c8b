"""``olmoflow tokenize``: `command` runs it; `conversations` are its rows where it has them."""
