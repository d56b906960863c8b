"""What the workers of instructions are forked with: importing this loads dictionaries and models.

They take two seconds, which each worker would otherwise spend by itself. What fails here fails
again in the worker, which can tell of it.
"""

from contextlib import suppress

from olmoflow.verifiers.instructions.verifier import warm

with suppress(Exception):
    warm()
