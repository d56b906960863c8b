"""``olmoflow mix``: `command` runs it, `swarm_runs` reads what a swarm left."""
