"""Renders untrusted Jinja2 templates within bounds of time and memory.

Jinja2's sandbox keeps a template from Python, but not from gigabytes of memory: ``{{ '%999999999d' % 1 }}`` is legal,
and so are thirty lines of ``{% set a = a ~ a %}``. Here a rendering has a budget of characters and loop steps, spent by
every operation that lengthens a text or loops. Unbounded features are not offered: macros, recursive loops, ``%`` and
``**``, and all filters and string methods but those below. Prompts need none of them.

The worst rendering then takes seconds and some 100 MB (docs/security.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sized
from contextvars import ContextVar
from functools import lru_cache, wraps
from itertools import chain
from typing import Any

import jinja2
import jinja2.meta
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.sandbox import SandboxedEnvironment

BUDGET = 2_000_000
"""The characters that a rendering may write, join or copy; each step of its loops costs a thousand of them."""
LONGEST = 1_000_000
"""The maximal characters of a template's own text."""
_STEP = 1000
_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round", "select", "selectattr",
    "sort", "string", "title", "trim", "unique", "upper", "wordcount",
)  # fmt: skip
_METHODS = frozenset({
    "capitalize", "casefold", "count", "endswith", "find", "isalnum", "isalpha", "isdigit", "isnumeric", "lower",
    "lstrip", "removeprefix", "removesuffix", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper",
})  # fmt: skip
_NOT_OFFERED = (nodes.Macro, nodes.CallBlock, nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)
_LARGEST_INT = 2**64

_left: ContextVar[int] = ContextVar("_left")


class TooMuchError(ValueError):
    """Raised when a rendering has spent its budget."""


def render(template: str, **variables: Any) -> str:
    """Fill a template. ``jinja2.TemplateSyntaxError`` for a bad one, and whatever rendering one can raise."""
    compiled = _compiled(template)
    token = _left.set(BUDGET)
    try:
        written = []
        for piece in compiled.generate(**variables):
            _spend(len(piece))
            written.append(piece)
        return "".join(written)
    finally:
        _left.reset(token)


def unfilled(template: str, variables: Iterable[str]) -> list[str]:
    """Return the variables that a template reads, in any branch, and that are not among ``variables``."""
    return sorted(jinja2.meta.find_undeclared_variables(_ENVIRONMENT.parse(template)) - set(variables))


def _spend(characters: int) -> None:
    left = _left.get() - max(characters, 0)
    if left < 0:
        raise TooMuchError(f"it writes or loops too much (more than {BUDGET:,} characters)")
    _left.set(left)


class _Generator(CodeGenerator):
    """Counts what ``~`` joins against the budget."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802  Jinja2's name
        self.write("environment.joined((")
        for each in node.nodes:
            self.visit(each, frame)
            self.write(", ")
        self.write("))")


class _Environment(SandboxedEnvironment):
    """The sandbox, with every operation that lengthens a text counted, and every unbounded one removed."""

    intercepted_binops = frozenset({"+", "*", "**", "%", "-", "//", "/"})
    code_generator_class = _Generator

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > LONGEST:
            raise jinja2.TemplateSyntaxError(f"longer than {LONGEST:,} characters", 1)
        tree = super()._parse(source, name, filename)
        for kind in _NOT_OFFERED:
            for node in tree.find_all(kind):
                raise jinja2.TemplateSyntaxError(f"{kind.__name__.lower()} is not offered in prompts", node.lineno)
        for loop in tree.find_all(nodes.For):
            if loop.recursive:
                raise jinja2.TemplateSyntaxError("recursive loops are not offered in prompts", loop.lineno)
            loop.iter = nodes.Filter(loop.iter, "_steps", [], [], None, None, lineno=loop.lineno)
        return tree

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        numbers = all(isinstance(each, (int, float)) for each in (left, right))
        if operator == "**" or (not numbers and operator not in "+*"):
            raise TypeError(f"{operator} is not offered in prompts here")
        if any(isinstance(each, (int, float)) and abs(each) > _LARGEST_INT for each in (left, right)):
            raise TooMuchError("a number is too large")
        if not numbers and operator == "+":
            _spend(_length(left) + _length(right))
        elif not numbers:
            times = left if isinstance(left, int) else right
            _spend(_length(right if times is left else left) * (times if isinstance(times, int) else 1))
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, (str, bytes)) and attr not in _METHODS:
            return False
        # Methods that change a list or add to a dictionary can double it.
        if isinstance(obj, (list, dict, set)) and attr not in ("items", "keys", "values", "get", "index", "count"):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call(self, context: Any, obj: Any, *arguments: Any, **named: Any) -> Any:
        _spend(_length(getattr(obj, "__self__", None)))
        return super().call(context, obj, *arguments, **named)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, slice):
            _spend(_length(obj))
        return super().getitem(obj, argument)

    def wrap_str_format(self, value: Any) -> None:
        """Do nothing: ``str.format`` is not among the methods offered."""

    def joined(self, pieces: Iterable[Any]) -> str:
        """Join the operands of ``~``."""
        texts = [str(piece) for piece in pieces]
        _spend(sum(map(len, texts)))
        return "".join(texts)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, Sized) and not isinstance(value, jinja2.Undefined) else 1


def _steps(iterable: Iterable[Any]) -> Any:
    """Return the iterable of a loop, with each step counted."""
    if isinstance(iterable, Sized) and not isinstance(iterable, jinja2.Undefined):
        _spend(_STEP * len(iterable))
        return iterable

    def counted() -> Iterator[Any]:
        for each in iterable:
            _spend(_STEP)
            yield each

    return counted()


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    _spend(_STEP * len(numbers))
    return numbers


def _join(values: Iterable[Any], between: str = "") -> str:
    """Join values as the filter ``join`` does; its attribute is not offered."""
    texts = [str(value) for value in _steps(values)]
    _spend(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def _replace(text: str, old: str, new: str) -> str:
    text, old, new = str(text), str(old), str(new)
    _spend(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
    return text.replace(old, new)


def _indent(text: str, width: int = 4, first: bool = False) -> str:
    lines = str(text).splitlines()
    _spend(len(text) + len(lines) * width)
    shift = " " * width
    return "\n".join(shift + line if line and (number or first) else line for number, line in enumerate(lines))


def _tojson(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    _spend(len(text))
    return text


def _paid(filtered: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter of Jinja2 whose work and result are as long as its input, and keep its marks."""
    marked = getattr(filtered, "jinja_pass_arg", None)
    position = 0 if marked is None else 1

    @wraps(filtered)
    def paid(*arguments: Any, **named: Any) -> Any:
        _spend(sum(_length(each) for each in chain(arguments[position:], named.values())))
        return filtered(*arguments, **named)

    return paid


def _made() -> _Environment:
    made = _Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        optimized=False,  # or constants would be computed before there is a budget
        cache_size=0,
    )
    made.filters = {name: _paid(made.filters[name]) for name in _FILTERS}
    made.filters.update(join=_join, replace=_replace, indent=_indent, tojson=_tojson, _steps=_steps)
    made.globals = {"range": _range, "dict": dict, "namespace": made.globals["namespace"]}
    return made


_ENVIRONMENT = _made()


@lru_cache(maxsize=1024)
def _compiled(template: str) -> jinja2.Template:
    # Compiling takes a hundred times as long as rendering, and every call of an expert renders one.
    return _ENVIRONMENT.from_string(template)
