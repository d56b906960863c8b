"""Judges that misbehave; workers import them by name."""

import os
import sys
import time

from olmoflow.verifiers import Verdict


def warm():
    pass


def warm_without_package():
    import no_such_package  # noqa: F401


def misbehave(text, reference):
    if text == "hang":
        while True:
            time.sleep(1)
    if text == "spin":
        return Verdict(float(10**10**9 > 0))  # in C, deaf to signals
    if text == "die":
        os._exit(3)
    if text == "eat":
        return Verdict(float(len(bytes(10**10))))
    if text == "raise":
        raise LookupError("two\nlines")
    if text == "imported":
        return Verdict(1.0, extracted=str(reference in sys.modules))
    if text == "pid":
        return Verdict(1.0, extracted=str(os.getpid()))
    return Verdict(float(text == reference))
