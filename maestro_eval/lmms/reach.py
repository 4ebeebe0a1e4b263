"""Analyses, without running it, whether a scorer of lmms-eval could call a judge model, a program or ``eval``.

The functions that a scorer's code can name are followed through lmms-eval's modules: globals, methods of the objects
among them, functions behind decorators. The result is an over-estimate: a judge that is called only for some answers
counts like one that is always called.
"""

from __future__ import annotations

import builtins
import dis
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType, ModuleType

JUDGE = "a judge model"
CODE = "eval"
PROGRAM = "another program"
MISSING = "a name that is not there"

_SINKS = {
    **dict.fromkeys(
        ("openai", "requests", "httpx", "aiohttp", "anthropic", "google", "azure", "boto3", "dashscope", "litellm",
         "zhipuai", "http", "urllib3", "websockets", "together", "groq", "lmms_eval.llm_judge"), JUDGE),
    **dict.fromkeys(("subprocess", "pexpect"), PROGRAM),
}  # fmt: skip
_BUILTINS = {"eval": CODE, "exec": CODE}
# Task files are imported under arbitrary names, so lmms-eval's code is recognised by its path. Its other folders
# contain registries and helpers that run for every task and call no model.
_OWN = re.compile(r"[/\\]lmms_eval[/\\](?:tasks|verifiers|llm_judge)[/\\]")


def reaches(*scorers: Callable[..., object]) -> dict[str, str]:
    """Map each kind of call that ``scorers`` could make (``JUDGE``, ``CODE``, ``PROGRAM``) to the place of the call.

    ``MISSING`` names a global that the code uses and its module does not define, because a failed import was ignored.
    """
    found: dict[str, str] = {}
    seen: set[object] = set()
    waiting: list[tuple[object, type | None, frozenset[str]]] = [(scorer, None, frozenset()) for scorer in scorers]
    while waiting:
        thing, owner, names = waiting.pop()
        kind = _sink(thing)
        if kind:
            found.setdefault(kind, _called(thing))
            continue
        for function, of in _functions(thing, owner, names):
            if function.__code__ in seen:
                continue
            seen.add(function.__code__)
            for kind, where in _own_sinks(function):
                found.setdefault(kind, where)
            mentioned = _names(function.__code__)
            waiting += [(named, of, mentioned) for named in _mentioned(function, of, mentioned)]
    return found


def _sink(thing: object) -> str:
    module = thing.__name__ if isinstance(thing, ModuleType) else _module_of(thing)
    return next((kind for root, kind in _SINKS.items() if module == root or module.startswith(f"{root}.")), "")


def _functions(thing: object, owner: type | None, names: frozenset[str]) -> Iterator[tuple[FunctionType, type | None]]:
    """Yield lmms-eval's functions that may run if code mentions ``thing`` and ``names``."""
    if isinstance(thing, functools.partial):
        yield from _functions(thing.func, owner, names)
    elif isinstance(thing, MethodType):
        yield from _functions(thing.__func__, type(thing.__self__), names)
    elif isinstance(thing, FunctionType):
        plain = inspect.unwrap(thing)
        if isinstance(plain, FunctionType) and _OWN.search(plain.__code__.co_filename):
            yield plain, owner
    elif not isinstance(thing, ModuleType):
        kind = thing if isinstance(thing, type) else type(thing)
        for name in names | {"__init__", "__call__"}:
            method = inspect.getattr_static(kind, name, None)
            if isinstance(method, (staticmethod, classmethod)):
                method = method.__func__
            if isinstance(method, property):
                method = method.fget
            if isinstance(method, FunctionType):
                yield from _functions(method, kind, names)


def _own_sinks(function: FunctionType) -> Iterator[tuple[str, str]]:
    where = f"{function.__module__}.{function.__qualname__}"
    for code in _codes(function.__code__):
        for name in code.co_names:
            if name in _BUILTINS and name not in function.__globals__:
                yield _BUILTINS[name], where
        steps = list(dis.get_instructions(code))
        stored = {step.argval for step in steps if step.opname == "STORE_GLOBAL"}
        for step in steps:
            name = str(step.argval)
            if step.opname == "LOAD_GLOBAL" and not (
                name in function.__globals__ or name in stored or hasattr(builtins, name)
            ):
                yield MISSING, name
            if step.opname == "IMPORT_NAME":
                kind = next((kind for root, kind in _SINKS.items() if f"{name}.".startswith(f"{root}.")), "")
                if kind:
                    yield kind, where


def _mentioned(function: FunctionType, owner: type | None, names: frozenset[str]) -> Iterator[object]:
    """Yield the objects that a function's code can name: globals, and members of their modules and of its class."""
    for name in names:
        if name in function.__globals__:
            thing = function.__globals__[name]
            yield thing
            if isinstance(thing, ModuleType) and _OWN.search(getattr(thing, "__file__", None) or ""):
                yield from (vars(thing)[member] for member in names if member in vars(thing))
        if owner is not None:
            member = inspect.getattr_static(owner, name, None)
            yield member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # The cell is empty, so nothing can be called through it.


def _names(code: CodeType) -> frozenset[str]:
    return frozenset(name for part in _codes(code) for name in part.co_names)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _module_of(thing: object) -> str:
    plain = thing if isinstance(thing, (type, FunctionType, MethodType)) else type(thing)
    return str(getattr(plain, "__module__", "") or "")


def _called(thing: object) -> str:
    name = getattr(thing, "__qualname__", "") or type(thing).__qualname__
    return thing.__name__ if isinstance(thing, ModuleType) else f"{_module_of(thing)}.{name}"
