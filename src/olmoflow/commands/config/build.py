"""Turns a config node into the object that its ``_target_`` names.

Only classes of the rooms and of the packages listed in `ALLOWED` are ever instantiated, and only
from the config of a command: a config read back from an artifact is data. Before anything is
built, the node is checked against the signature of its class, which is its schema.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from pydantic import ConfigDict, TypeAdapter, ValidationError

from olmoflow.errors import UserError

ALLOWED = ("olmoflow.", "torch.optim.", "lightning.pytorch.")
_HYDRA_KEYS = frozenset({"_target_", "_partial_", "_recursive_", "_convert_"})


def build(node: Mapping[str, Any], key: str, **given: Any) -> Any:
    """Check a node and instantiate it.

    Args:
        node: A plain config node with a ``_target_``.
        key: Where the node stands in the config, for messages.
        given: Arguments that the config cannot hold, such as a model's parameters.

    Raises:
        UserError: The target is not allowed, a key is unknown or missing, or a value has the wrong
            type. The message names the key.
    """
    check(node, key, frozenset(given))
    try:
        return instantiate(dict(node), **given, _convert_="all")
    except InstantiationException as error:
        # A class explains the user's mistakes itself; Hydra wraps whatever it raises.
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def check(node: Mapping[str, Any], key: str, given: frozenset[str] = frozenset()) -> None:
    """Check a node, and the nodes within it, against the signatures of their targets."""
    target = locate(node["_target_"], key)
    parameters = inspect.signature(target).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hints = _type_hints(target)
    for name, value in node.items():
        if name in _HYDRA_KEYS:
            continue
        if name not in parameters and not takes_any:
            close = get_close_matches(name, parameters, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(parameters)}"
            raise UserError(f"{key}.{name}: {target.__name__} has no such argument; {hint}")
        _check_value(value, hints.get(name, Any), f"{key}.{name}")
    if node.get("_partial_"):
        return
    for name, parameter in parameters.items():
        required = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if required and name not in node and name not in given:
            raise UserError(f"{key}.{name}: missing; {target.__name__} needs it")


def locate(path: str, key: str) -> Any:
    """The class that the ``_target_`` of the node at ``key`` names.

    Raises:
        UserError: There is none, or it is not allowed.
    """
    if not path.startswith(ALLOWED):
        raise UserError(f"{key}._target_={path}: expected a class of {', '.join(ALLOWED)}")
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{key}._target_={path}: no such class") from error


def _type_hints(target: Any) -> dict[str, Any]:
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):
        # An annotation that only a type checker can resolve; the names are still checked.
        return {}


def _check_value(value: Any, hint: Any, key: str) -> None:
    if isinstance(value, Mapping) and "_target_" in value:
        check(value, key)
        return
    if isinstance(value, list | tuple):
        for index, each in enumerate(value):
            if isinstance(each, Mapping) and "_target_" in each:
                check(each, f"{key}[{index}]")
                return
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except Exception:
        adapter = None  # the parameter's own type forbids a config; only its name is checked
    if adapter is None:
        return
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{key}={value!r}: {first['msg'].lower()}") from error
