r"""Decide whether two expressions are equal in value: ``1/2`` is ``\frac{1}{2}`` is ``0.5``.

Most answers are plain numbers or equal texts and are decided here in microseconds. The rest goes to `math-verify`
(SymPy) in a child process, started on first need and again after each death, because an expression may be written to
run forever: a check costs at most its CPU time limit, and the next one works. The limit is CPU time, so that a verdict
does not depend on how busy the machine is.

The child is a plain subprocess on two pipes, not a multiprocessing pool: it needs no importable ``__main__``, starts
from any thread and from daemonic pool workers, and a fork of this process starts its own. Checks from several threads
of one process run one after another; for more, use more processes.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from maestro_eval.scoring.child import Child
from maestro_eval.scoring.numerals import Number, number

_LONGEST = 400
_REMEMBERED = 4096
# SymPy's caches grow for ever; a fresh child bounds that.
_CHECKS_OF_A_CHILD = 20_000
# Only what an interpreter needs: API keys stay out of a process that reads what a model wrote.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV")
_FLOAT_NOISE = 1e-9

_WRAPPED = re.compile(
    r"\s*(?:\$\$(?P<a>[^$]*)\$\$|\$(?P<b>[^$]*)\$|\\\((?P<c>.*)\\\)|\\\[(?P<d>.*)\\\]|\\boxed\{(?P<e>.*)\})\s*",
    re.DOTALL,
)
_WRAPPINGS = 4
_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textbf|mathbf)\s*\{([^{}]*)\}")
_FUNCTION = re.compile(r"(?<![\\A-Za-z])(sin|cos|tan|log|ln|pi)(?![A-Za-z])")
_BARE_ROOT = re.compile(r"√\s*(\d+(?:\.\d+)?|[A-Za-z])")
_APPROXIMATELY = re.compile(r"\\approx|≈")
_EQUALS = re.compile(r"(?<![<>!\\])=")
_DEGREES = re.compile(r"\s*(?:°|\^\s?\{?\s?\\circ\s?\}?)")
_UNIT = re.compile(
    r"(?<=[\d})\s])\s*\b(?:(?:square|cubic|sq\.?|cu\.?)\s+)?"
    r"(?:cm|mm|km|(?<=\s)m|(?<=\s)in|ft|units?|degrees?|meters?|inches|feet)(?:\s?\^\s?\{?[23]\}?|[²³])?\Z"
)
_SPELLED = str.maketrans(
    {
        "√": "sqrt", "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": r"\div ", "π": r"\pi ",
        "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "²": "^{2}", "³": "^{3}", "½": r"\frac{1}{2}",
        "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\n": " ", "\t": " ",
    }
)  # fmt: skip
_PERCENT_UNIT = "\\%"
_THOUSANDS = re.compile(r"(?<=[0-9])(?:,|\{,\})(?=[0-9]{3}(?![0-9]))")
_SIZES = re.compile(r"\\(?:left|right|big|Big)(?![A-Za-z])|\s+")
_CALCULATION = re.compile(r"[0-9\\]")
_LETTERS = re.compile(r"[A-Za-z]{3,}")


class Equivalence(Struct, frozen=True):
    """``undecided`` is caused by the expression (``reason``). ``unavailable`` is our failure: the checker could not run
    (``detail`` says why), and nothing is known about the answer.
    """

    result: Literal["same", "different", "undecided", "unavailable"]
    reason: Literal["", "words", "kinds", "not parsed", "time limit", "memory"] = ""
    detail: str = ""

    @property
    def is_costly(self) -> bool:
        """Return whether the expression exceeded its time or memory limit."""
        return self.reason in ("time limit", "memory")


_SAME, _DIFFERENT = Equivalence("same"), Equivalence("different")


def equivalent(answer: str, target: str, *, decimals: int | None = None, limit_s: float = 5.0) -> Equivalence:
    r"""Compare ``answer`` with ``target`` in value; ``$…$``, ``\boxed{…}``, units and degrees are ignored.

    Two plain numbers must be equal but for float noise, a decimal and an expression to six places; with ``decimals`` it
    suffices that both round to the same value at that many places. ``50%`` is 0.5; LaTeX's ``50\%`` is 50
    (`without_unit`). Words are equal only as text; a pair is not a set, nor a ratio ``3:4`` a fraction. Texts of more
    than 400 characters are not parsed. No text makes it raise.
    """
    given, wanted = bare_expression(answer), bare_expression(target)
    given = without_unit(given, wanted)
    if not given or not wanted:
        return Equivalence("undecided", "not parsed")
    if _folded(given) == _folded(wanted):
        return _SAME
    given_number, wanted_number = number(given), number(wanted)
    if given_number is not None and wanted_number is not None:
        return _SAME if _same_number(given_number, wanted_number, decimals) else _DIFFERENT
    if len(given) > _LONGEST or len(wanted) > _LONGEST:
        return Equivalence("undecided", "not parsed")
    if any(_LETTERS.search(text) and not _CALCULATION.search(text) for text in (given, wanted)):
        return Equivalence("different", "words")
    if not _of_one_kind(given, wanted):
        return Equivalence("different", "kinds")
    return _checker.check(_Request(_latex(given), _latex(wanted), decimals, max(limit_s, 0.01)))


def without_unit(answer: str, target: str) -> str:
    r"""Drop a ``\%`` at the end of ``answer`` if ``target`` has none, as MathVision's authors drop it as a unit.

    A plain ``%`` divides by 100, for them and here.
    """
    bare = answer.rstrip()
    return bare.removesuffix(_PERCENT_UNIT).rstrip() if "%" not in target else bare


def bare_expression(text: str) -> str:
    r"""Return ``text`` without a full stop and markup around it all: ``$…$``, ``\(…\)``, ``\[…\]``, ``\boxed{…}``."""
    bare = text.strip()
    for _ in range(_WRAPPINGS):
        # "$3 was paid" and "5.." are not wrapped; a full stop may come before or after the last dollar.
        bare = bare.removesuffix(".").strip() if not bare.endswith("..") else bare
        wrapped = _WRAPPED.fullmatch(bare)
        inside = next((group for group in wrapped.groups() if group is not None), None) if wrapped else None
        if inside is None or not _one_piece(inside):
            break
        bare = inside.strip()
    return bare


def _one_piece(text: str) -> bool:
    # "\boxed{1}, \boxed{2}" and "\(1\) or \(2\)" begin and end like one wrapped text but are two.
    if r"\)" in text or r"\]" in text:
        return False
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def _folded(text: str) -> str:
    return "".join(text.casefold().split())


def _same_number(given: Number, wanted: Number, decimals: int | None) -> bool:
    if _close(given.value, wanted.value):
        return True
    return decimals is not None and round(given.value, decimals) == round(wanted.value, decimals)


def _close(left: float, right: float) -> bool:
    if left.is_integer() and right.is_integer():
        return left == right
    return math.isclose(left, right, rel_tol=_FLOAT_NOISE)


def _of_one_kind(given: str, wanted: str) -> bool:
    # math-verify reads "5, 5" as 5, a set as a pair, and "3:4" as a fraction.
    if (":" in given) != (":" in wanted):
        return False
    (ours, is_pair), (theirs, is_wanted_pair) = _listed(given), _listed(wanted)
    return ours == theirs and (ours == 1 or is_pair == is_wanted_pair)


def _listed(text: str) -> tuple[int, bool]:
    """Return the number of members of a comma list, and whether it is in round brackets (a pair, a point)."""
    bare = _SIZES.sub("", text)
    _, _, behind = bare.rpartition("=")
    bare = behind if behind[:1] in ("(", "[", "\\") else bare
    inside = bare.replace("\\{", "{").replace("\\}", "}")
    whole = inside[:1] in ("(", "[", "{") and inside[-1:] in (")", "]", "}") and _depths(inside)[:-1].count(0) == 0
    inside = inside[1:-1] if whole else _THOUSANDS.sub("", inside)
    commas = sum(sign == "," and depth == 0 for sign, depth in zip(inside, _depths(inside), strict=True))
    return commas + 1, whole and bare[0] == "(" and bare[-1] == ")"


def _depths(text: str) -> list[int]:
    """Return the bracket depth at each character; a closing bracket is outside of its pair."""
    depths, depth = [], 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        depths.append(depth)
    return depths


def _latex(text: str) -> str:
    spelled = _BARE_ROOT.sub(r"\\sqrt{\1}", _TEXT.sub(r" \1 ", text.replace("**", "^"))).translate(_SPELLED)
    spelled = _FUNCTION.sub(r"\\\1 ", _APPROXIMATELY.split(spelled)[-1])
    spelled = _UNIT.sub("", _DEGREES.sub("", spelled).strip())
    # The result of "x = 2 + 3 = 5" is its last part; "x = 1, y = 2" and "x = 5" are compared as equations.
    parts = _EQUALS.split(spelled)
    return parts[-1] if len(parts) > 2 and "," not in spelled and ";" not in spelled else spelled


class _Request(Struct, frozen=True):
    answer: str
    target: str
    decimals: int | None
    limit_s: float


class _Checker:
    """One child process and a cache of its latest verdicts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._checks = 0
        self._verdicts: dict[_Request, Equivalence] = {}

    def check(self, request: _Request) -> Equivalence:
        with self._lock:
            known = self._verdicts.get(request)
            if known is not None:
                return known
            verdict = self._ask(request)
            if verdict.result == "unavailable":
                # The machine may have killed an idle child for lack of memory: try a fresh one.
                verdict = self._ask(request)
            if verdict.result != "unavailable":
                if len(self._verdicts) >= _REMEMBERED:
                    del self._verdicts[next(iter(self._verdicts))]
                self._verdicts[request] = verdict
            return verdict

    def close(self) -> None:
        """Kill the child; the next check starts another."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.end()

    def abandon(self) -> None:
        """In a forked process: leave the child and its replies to the process that started it."""
        child, self._child = self._child, None
        self._lock = threading.Lock()
        if child is not None:
            child.disown()

    def _ask(self, request: _Request) -> Equivalence:
        if self._checks >= _CHECKS_OF_A_CHILD:
            self.close()
        self._checks += 1
        try:
            if self._child is None:
                self._checks = 1
                self._child = _start()
                if self._child.receive() is None:
                    return Equivalence("unavailable", detail=f"the symbolic checker did not start: {self._end()}")
            self._child.send(json.dumps(asdict(request)).encode())
            reply = self._child.receive()
            return _cause(self._end()) if reply is None else Equivalence(*json.loads(reply))
        except OSError as error:
            return Equivalence("unavailable", detail=f"the symbolic checker did not start: {error}")
        except BaseException:
            # After an interrupt, the late reply must not be read as that of the next request.
            self.close()
            raise

    def _end(self) -> int:
        child, self._child = self._child, None
        assert child is not None
        # The child closed its output: it has exited or is exiting.
        return child.end()


def _start() -> Child:
    # A fixed hash seed: SymPy's results may depend on the order of sets of symbols.
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0"}
    program = Path(__file__).with_name("symbolic_child.py")
    return Child([sys.executable, "-P", str(program)], stderr=subprocess.DEVNULL, env=environment)


def _cause(code: int) -> Equivalence:
    if code == -signal.SIGPROF:
        return Equivalence("undecided", "time limit")
    if code in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS):
        return Equivalence("undecided", "memory")
    if code == -signal.SIGALRM:
        return Equivalence("unavailable", detail="the symbolic checker got no processor time")
    return Equivalence("unavailable", detail=f"the symbolic checker died: {code}")


_checker = _Checker()
atexit.register(_checker.close)
os.register_at_fork(after_in_child=_checker.abandon)
