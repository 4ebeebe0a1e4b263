"""Calculate what is written as text, without executing it: ``(3)/(4)``, ``2*sqrt(3)``, ``5!``, ``pi``.

The released scorer passes such text to SymPy, which evaluates it as Python. Here Python's parser builds a syntax tree,
and a table of operators and functions computes its value in bounded time. What is not in the table has no value:
letters that would cancel out, complex numbers, lists, calculus. Whole numbers and fractions are exact, everything else
is a float; an operation on whole numbers that would exceed some thousand digits uses floats.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable
from fractions import Fraction

Number = Fraction | float

_LONGEST = 500
_LARGEST_BITS = 4096
_LARGEST_FACTORIAL = 170
_FACTORIAL = re.compile(r"(?P<operand>[\w.]+|\))(?P<marks>!{1,2})(?![!=])")


def value_of(text: str) -> float | None:
    """Return the value of ``text``, or ``None`` if it has no real value.

    A quoted number has the value of the text in the quotes, as in SymPy.
    """
    tree = _parsed(text)
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        tree = _parsed(tree.value)
    try:
        return None if tree is None else float(_value(tree))
    except (ArithmeticError, ValueError, TypeError, RecursionError):
        return None


def _parsed(text: str) -> ast.expr | None:
    bare = text.replace("\n", "").strip()
    if len(bare) > _LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "5in x" is deprecated Python, which does not concern our user
            return ast.parse(_spelled_factorials(bare), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _spelled_factorials(text: str) -> str:
    """Write ``5!`` as ``factorial(5)``; a mark without an operand stays, and is no Python."""
    while mark := _FACTORIAL.search(text):
        begin, end = mark.start("operand"), mark.end("operand")
        if mark["operand"] == ")":
            begin = _opening(text, begin)
            while begin > 0 and (text[begin - 1].isalnum() or text[begin - 1] == "_"):
                begin -= 1
        if begin < 0:
            break
        name = "factorial" if mark["marks"] == "!" else "factorial2"
        text = f"{text[:begin]}{name}({text[begin:end]}){text[mark.end() :]}"
    return text


def _opening(text: str, closing: int) -> int:
    depth = 0
    for place in range(closing, -1, -1):
        depth += (text[place] == ")") - (text[place] == "(")
        if depth == 0:
            return place
    return -1


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as written) if not isinstance(written, bool):
            return Fraction(written) if isinstance(written, int) else written
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return Fraction(~_whole(_value(operand)))
        case ast.BinOp(left=ast.Name(id=name), op=ast.Pow(), right=right) if name not in _KNOWN and _value(right) == 0:
            # To SymPy an unknown name is a symbol, and any symbol to the power of 0 is 1.
            return Fraction(1)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*map(_value, arguments))
        case _:
            raise ValueError("no number")


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits * abs(exponent) <= _LARGEST_BITS:
            return Fraction(base ** int(exponent))
    return _real(float(base) ** float(exponent))


def _real(number: object) -> float:
    if not isinstance(number, float):
        raise ValueError("complex")
    return number


def _product(left: Number, right: Number) -> Number:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        bits = sum(part.bit_length() for each in (left, right) for part in each.as_integer_ratio())
        if bits > _LARGEST_BITS:
            return float(left) * float(right)
    return left * right


def _whole(number: Number) -> int:
    if number != int(number):
        raise ValueError("not whole")
    return int(number)


def _factorial(number: Number) -> Number:
    if number < 0 or number > _LARGEST_FACTORIAL:
        raise ValueError("no bounded factorial")
    return Fraction(math.factorial(int(number))) if number == int(number) else math.gamma(float(number) + 1)


def _factorial2(number: Number) -> Number:
    whole = _whole(number)
    if not 0 <= whole <= _LARGEST_FACTORIAL:
        raise ValueError("no bounded factorial")
    return Fraction(math.prod(range(whole, 0, -2)))


def _root(number: Number, degree: Number = Fraction(2)) -> Number:
    if isinstance(number, Fraction) and degree == 2 and number >= 0:
        roots = [math.isqrt(part) for part in number.as_integer_ratio()]
        if [root * root for root in roots] == list(number.as_integer_ratio()):
            return Fraction(*roots)
    return _power(number, 1 / degree)


def _log(number: Number, base: Number = math.e) -> Number:
    return math.log(number) if base == math.e else math.log(number) / math.log(base)


def _binomial(of: Number, chosen: Number) -> Number:
    total, part = _whole(of), _whole(chosen)
    if total > _LARGEST_BITS:
        raise ValueError("no bounded binomial")
    return Fraction(math.comb(total, part))


def _rational(numerator: Number, denominator: Number = Fraction(1)) -> Number:
    return Fraction(numerator) / Fraction(denominator)


def _through(function: Callable[[float], float]) -> Callable[..., Number]:
    return lambda number: function(float(number))


def _rounded(how: Callable[[Number], int]) -> Callable[..., Number]:
    return lambda number: Fraction(how(number))


_OPERATORS: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _product,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}

_CONSTANTS: dict[str, Number] = {
    "pi": math.pi,
    "E": math.e,
    "oo": math.inf,
    "GoldenRatio": (1 + math.sqrt(5)) / 2,
    "EulerGamma": 0.5772156649015329,
}

_FUNCTIONS: dict[str, Callable[..., Number]] = {
    **{name: _through(getattr(math, name)) for name in ("sin", "cos", "tan", "asin", "acos", "atan", "exp", "gamma")},
    **{name: _through(getattr(math, name)) for name in ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf")},
    "cot": lambda number: 1 / math.tan(number),
    "sec": lambda number: 1 / math.cos(number),
    "csc": lambda number: 1 / math.sin(number),
    "atan2": lambda y, x: math.atan2(y, x),
    # SymPy reads a second argument as an option, so that the root of "5,336" is that of 5.
    "sqrt": lambda number, _=None: _root(number),
    "cbrt": lambda number, _=None: _root(number, Fraction(3)),
    "root": lambda number, degree: _root(number, degree),
    "log": _log,
    "ln": _log,
    "abs": abs,
    "Abs": abs,
    "sign": lambda number: Fraction((number > 0) - (number < 0)),
    "floor": _rounded(math.floor),
    "ceiling": _rounded(math.ceil),
    "round": _rounded(round),
    "Integer": _rounded(math.trunc),
    "Float": float,
    "Rational": _rational,
    "factorial": _factorial,
    "factorial2": _factorial2,
    "binomial": _binomial,
    "gcd": lambda left, right: Fraction(math.gcd(_whole(left), _whole(right))),
    "lcm": lambda left, right: Fraction(math.lcm(_whole(left), _whole(right))),
    "pow": _power,
    "Pow": _power,
    "Mod": operator.mod,
    **dict.fromkeys(("max", "Max"), lambda *numbers: max(numbers)),
    **dict.fromkeys(("min", "Min"), lambda *numbers: min(numbers)),
}

_KNOWN = _CONSTANTS.keys() | _FUNCTIONS.keys()
