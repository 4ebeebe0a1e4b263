"""The program that compares expressions, run by `symbolic.py` as a separate process: one JSON message in, one out.

It reads what a model wrote, so it is built to be killed. Each check has a CPU time limit that the kernel enforces (the
default action of SIGPROF ends the process, whatever C code it is in), the process has a memory limit, it cannot write
files, and the one place where SymPy would evaluate text as Python is blocked before the first check.

It runs by path and imports nothing of this package, so that its start costs no more than SymPy's.
"""

from __future__ import annotations

import json
import logging
import os
import re
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

_MEMORY = 2 << 30
_START_S = 120.0
# A check that takes this many times its CPU time limit by the clock is starved of CPU.
_PATIENCE = 20.0
_EXACT_DECIMALS = 6
_SIGNIFICANT = 30
# Expressions in letters are first compared at one point: the letters are the square roots of these.
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)
# Decimals are compared to six places: a larger difference than this decides.
_APART = 1e-5
_APART_OF_TINY = 1e-4
# A larger float has no decimals to round.
_LARGEST = 1e15
_PLAIN = re.compile(r"[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400}")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[a-z]+\}")

# ``result`` and ``reason`` of `Equivalence`
_Reply = tuple[str, str]


def main() -> None:
    """Send a ready message, then answer requests until the other end closes."""
    _prepare_signals()
    requests, replies = Connection(0, writable=False), Connection(os.dup(1), readable=False)
    # Libraries print to standard error, not into the replies.
    os.dup2(2, 1)
    signal.setitimer(signal.ITIMER_REAL, _START_S)
    check = _checker()
    signal.setitimer(signal.ITIMER_REAL, 0)
    # After SymPy's import: Python may still write its bytecode, without which each start would compile it again.
    _confine()
    replies.send_bytes(b"ready")
    while True:
        try:
            request = json.loads(requests.recv_bytes())
        except EOFError:
            return
        # CPU time, not the clock: the same expression must get the same verdict on a busy machine. The clock is the
        # backstop for a process that gets no CPU, which outlives its parent by no more than that.
        signal.setitimer(signal.ITIMER_PROF, request["limit_s"])
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE * request["limit_s"])
        reply = check(request["answer"], request["target"], request["decimals"])
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        replies.send_bytes(json.dumps(reply).encode())


def _prepare_signals() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for deadly in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(deadly, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF, signal.SIGALRM})


def _confine() -> None:
    for limit, most in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard),) * 2)


def _checker() -> Callable[[str, str, int | None], _Reply]:
    import sympy  # type: ignore[import-untyped]

    # `simplify` imports this on first use, and parses text to name its units, which is blocked by then.
    import sympy.physics.units  # type: ignore[import-untyped]
    from latex2sympy2_extended import NormalizationConfig, latex2sympy, normalize_latex  # type: ignore[import-untyped]
    from math_verify import verify  # type: ignore[import-untyped]
    from math_verify.grader import should_treat_as_complex  # type: ignore[import-untyped]
    from sympy.core.cache import clear_cache  # type: ignore[import-untyped]
    from sympy.core.random import seed  # type: ignore[import-untyped]
    from sympy.parsing import sympy_parser  # type: ignore[import-untyped]

    # The library logs a long warning that it has no timeout.
    logging.disable()

    def plain_number(text: str, *_: object, **__: object) -> Any:
        if not _PLAIN.fullmatch(text):
            raise _Unreadable("not parsed")
        return sympy.Integer(text) if text.isdecimal() else sympy.Float(text)

    # latex2sympy passes each numeral to SymPy as text, which SymPy evaluates as Python. `plain_number` reads numerals
    # instead, and any other text is refused at the parser's only call of `eval`.
    sympy_parser.parse_expr = plain_number
    sympy_parser.eval_expr = _refuse
    config = NormalizationConfig(
        basic_latex=True, units=True, malformed_operators=True, nits=True, boxed="none", equations=False
    )

    def parsed(text: str) -> Any:
        latex = normalize_latex(text, config)
        if _WORD.search(_ENVIRONMENT.sub("", latex)):
            # A word would be read as a product of letters, and "north" would equal "thorn".
            raise _Unreadable("words")
        return latex2sympy(
            latex, is_real=not should_treat_as_complex(latex), convert_degrees=False, normalization_config=None
        )

    def value(expression: Any, point: dict[Any, Any]) -> Any:
        """Return a real value to 30 digits, else None: a percentage has two values, and a lone letter may be a word."""
        if not isinstance(expression, sympy.Expr) or expression.is_Symbol or expression.has(sympy.UnevaluatedExpr):
            return None
        try:
            number = expression.evalf(_SIGNIFICANT, subs=point)
        except (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError):
            return None
        return number if number.is_Float or number.is_Rational else None

    def significant(number: Any) -> bool:
        # SymPy marks a value that is zero but for noise by a precision of one bit.
        return bool(number != 0 and getattr(number, "_prec", 2) > 1)

    def same_value(given: Any, wanted: Any, decimals: int | None) -> bool:
        letters = sorted(given.free_symbols | wanted.free_symbols, key=str)
        point = {letter: sympy.sqrt(prime).evalf(_SIGNIFICANT) for letter, prime in zip(letters, _PRIMES, strict=False)}
        read, meant = value(given, point), value(wanted, point)
        if read is not None and meant is not None:
            roundable = decimals is not None and not letters and abs(read) < _LARGEST and abs(meant) < _LARGEST
            if roundable and round(float(read), decimals) == round(float(meant), decimals):
                return True
            # Simplifying takes 50 times as long, and cannot equate what differs at a point. Tiny values also have a
            # tiny difference: they must agree in their leading digits.
            largest = max(abs(read), abs(meant)) if significant(read) and significant(meant) else 1
            if abs(read - meant) > min(_APART, largest * _APART_OF_TINY):
                return False
        places = _EXACT_DECIMALS if decimals is None else decimals
        return bool(verify(wanted, given, float_rounding=places, timeout_seconds=None, raise_on_error=True))

    def check(answer: str, target: str, decimals: int | None) -> _Reply:
        # A verdict must not depend on earlier requests or on chance.
        clear_cache()
        seed(0)
        try:
            same = same_value(parsed(answer), parsed(target), decimals)
        except _Unreadable as error:
            return "different" if error.args[0] == "words" else "undecided", error.args[0]
        except MemoryError:
            return "undecided", "memory"
        except Exception:
            # The parser raises bare Exception for unreadable text, SymPy a dozen types.
            return "undecided", "not parsed"
        return "same" if same else "different", ""

    return check


class _Unreadable(Exception):
    pass


def _refuse(*_: object) -> None:
    raise _Unreadable("not parsed")


if __name__ == "__main__":
    main()
