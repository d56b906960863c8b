"""What math verifiers' workers are forked with: importing this imports math-verify and tries it.

A comparison that passes its deadline costs a worker, and imports would be most of what a new one
takes. What fails here fails again in the worker, which can tell of it.
"""

from contextlib import suppress

from olmoflow.verifiers.math import warm

with suppress(Exception):
    warm()
