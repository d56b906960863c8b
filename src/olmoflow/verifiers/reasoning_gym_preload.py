"""What puzzles' workers are forked with: importing this imports reasoning-gym.

Its tasks take more than a second to import, which each worker would otherwise spend by itself. What
fails here fails again in the worker, which can tell of it.
"""

from contextlib import suppress

from olmoflow.verifiers.reasoning_gym import warm

with suppress(Exception):
    warm()
