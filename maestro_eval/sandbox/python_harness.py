"""Runs inside the sandbox, never here: tests in one process, the program that they test in another.

Only its text is used (``run_tests`` passes it to the sandbox), so it imports nothing of ours. The first process reads
the case from its standard input only after the second was forked from it, to which that input is closed: the second
sees neither the tests nor the nonce that begins our report. What the tests call (``solution``, say) sends the arguments
over and gets plain data back. A program can therefore pass in one way only, by returning what the tests accept: it
cannot end the tests early, replace ``print`` or ``assert``, or return something that is equal to everything. Nor can
it end a loop of theirs by what it raises: ``StopIteration`` comes over as a ``RuntimeError``.

The price: an argument changed in place is not seen by the tests, a subclass comes back as its builtin base
(``Counter`` as ``dict``), a numpy scalar as a number, and anything else as an object that equals nothing.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import json
import math
import os
import pickle
import re
import resource
import select
import signal
import struct
import sys
import time
import types
from typing import Any, NoReturn

_LONGEST_MESSAGE = 16 << 20
# The kernel ends a program that was not stopped in time, at this multiple of its CPU limit. The kernel counts whole
# ticks, which on a loaded machine sum to up to twice the time that the program used.
_HARD_LIMIT = 4


class _Ended(BaseException):
    """Raised when the program is over; says how. Tests that catch ``Exception`` do not catch it."""


class _Strange:
    """Represents a value that is no plain data. Equals nothing, not even itself."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self.kind}>"


def main() -> None:
    """Judge the case on standard input; print its nonce at the beginning and, as JSON, the outcome at the end."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Fixes the order of sets, and so the verdict.
        options = ("-s", "-B", "-X", "utf8")
        os.execve(sys.executable, [sys.executable, *options, __file__], {**os.environ, "PYTHONHASHSEED": "0"})
    del sys.path[0]
    # Process 1 ignores signals that it has no handler for; Python installs one for this signal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    child = os.fork()
    if child == 0:
        for number in (ours_in, ours_out):
            os.close(number)
        _Program(theirs_in, theirs_out).serve()
    for number in (theirs_in, theirs_out):
        os.close(number)
    case = json.loads(sys.stdin.read())
    ours = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # tests may print
    other = _Other(child, ours_in, ours_out, case["cpu_s"], case["wall_s"])
    os.write(ours, case["nonce"].encode("ascii") + b"\n")
    outcome, detail = _judge(case, other)
    # Addresses of objects differ from run to run.
    detail = re.sub(r"\b0x[0-9a-f]+", "0x", " ".join(detail.split()))[:200]
    os.write(ours, json.dumps({"outcome": outcome, "detail": detail}).encode("ascii"))
    os._exit(0)  # nothing that the tests have left to run at the end is waited for


def _judge(case: Any, other: _Other) -> tuple[str, str]:
    sys.path.insert(0, case["packages"])
    module = _module()
    try:
        exec(_compiled(case["signature"], "signature"), module.__dict__)
        tests = _compiled(case["tests"], "tests")
    except Exception as error:
        return "unjudged", "the task's own code does not run: " + _described(error)
    module.__dict__.update({name: _Function(name, other) for name in case["names"]})
    try:
        other.load(case["program"], case["preload"])
        exec(tests, module.__dict__)
    except _Ended as ended:
        return ended.args
    except AssertionError as error:
        return "failed", "a test failed: " + _described(error)
    except (_UnsendableError, ModuleNotFoundError) as error:  # of the tests: the program's is an end
        return "unjudged", _described(error)
    except (Exception, SystemExit) as error:
        return "failed", _described(error)
    return ("passed", "") if other.calls else ("unjudged", "its tests never call " + " or ".join(case["names"]))


class _UnsendableError(Exception):
    """The tests pass something to the program that cannot be sent to it."""


class _Function:
    """A function that the tests call; the function of this name in the other process answers."""

    def __init__(self, name: str, other: _Other) -> None:
        self.__name__ = name
        self._other = other

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._other.call(self.__name__, args, kwargs)


class _Other:
    """The process of the program, as seen by the tests."""

    def __init__(self, child: int, receive: int, send: int, cpu_s: float, wall_s: float) -> None:
        self.calls = 0
        self._child, self._receive, self._send = child, receive, send
        self._cpu_s, self._wall_s = cpu_s, wall_s
        self._end = time.monotonic() + wall_s
        self._cpu_end = math.inf

    def load(self, program: str, preload: list[str]) -> None:
        self._ask((self._cpu_s, sys.path[0], preload))
        self._cpu_end = self._cpu() + self._cpu_s
        self._ask(program)
        self._end = time.monotonic() + self._wall_s

    def call(self, name: str, args: Any, kwargs: Any) -> Any:
        self.calls += 1
        return self._ask((name, args, kwargs))

    def _ask(self, question: Any) -> Any:
        try:
            message = pickle.dumps(question)
        except Exception as error:
            raise _UnsendableError("an argument cannot be passed on: " + _described(error)) from None
        try:
            os.write(self._send, struct.pack("<Q", len(message)))
            _write(self._send, message)
        except OSError:
            self._over()
        (length,) = struct.unpack("<Q", self._read(8))
        if length > _LONGEST_MESSAGE:
            raise _Ended("failed", "the result is too long")
        answer = self._read(length)
        self._check_cpu()
        try:
            kind, value = json.loads(answer)
            if kind == "value":
                return _decoded(value)
            name, text = str(value[0]), str(value[1])
        except (ValueError, TypeError, IndexError, KeyError, RecursionError):
            raise _Ended("failed", "the result cannot be read") from None
        if kind == "missing":
            raise _Ended("missing", name)
        if kind == "unloaded":
            raise _Ended("failed", name + ": " + text)
        raise _as_raised(name, text)

    def _read(self, length: int) -> bytes:
        read = bytearray()
        while len(read) < length:
            # Also checks for the end of the process: a child of its own may hold the pipe open.
            if select.select([self._receive], [], [], 0.05)[0]:
                chunk = os.read(self._receive, min(length - len(read), 1 << 20))
                if not chunk:
                    self._over()
                read += chunk
                continue
            self._check_cpu()
            if time.monotonic() > self._end:
                raise _Ended("timeout", f"exceeded {self._wall_s:g} s by the clock")
            if self._gone() and not select.select([self._receive], [], [], 0)[0]:
                self._over()
        return bytes(read)

    def _cpu(self) -> float:
        """Return the seconds of CPU time that the process has used, to the nanosecond. It is not reaped yet."""
        return time.clock_gettime(_cpu_clock(self._child))

    def _check_cpu(self) -> None:
        if self._cpu() > self._cpu_end:
            raise _Ended("timeout", f"exceeded {self._cpu_s:g} s of CPU time")

    def _gone(self) -> bool:
        info = os.waitid(os.P_PID, self._child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return info is not None

    def _over(self) -> NoReturn:
        while not self._gone():
            if time.monotonic() > self._end:
                raise _Ended("timeout", f"exceeded {self._wall_s:g} s by the clock")
            time.sleep(0.01)
        _, status, usage = os.wait4(self._child, 0)
        signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        # Children that it waited for count, too.
        if signalled == signal.SIGKILL and usage.ru_utime + usage.ru_stime >= self._cpu_s:
            raise _Ended("timeout", f"exceeded {self._cpu_s:g} s of CPU time")
        raise _Ended("failed", "the program ended itself before the tests did")


class _Program:
    """The other process: loads the program, and answers calls until its end."""

    def __init__(self, receive: int, send: int) -> None:
        self._receive, self._send = receive, send

    def serve(self) -> NoReturn:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nowhere, number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        cpu_s, packages, preload = self._next()
        sys.path.insert(0, packages)
        # A thread for each core of a large machine would exceed the sandbox's limit.
        os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
        for name in preload:
            with contextlib.suppress(Exception):  # the program will find out
                importlib.import_module(name)
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = math.ceil(used.ru_utime + used.ru_stime) + math.ceil(_HARD_LIMIT * cpu_s)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        self._answer("value", None)
        program = self._next()
        module = _module()
        try:
            exec(_compiled(program, "program"), module.__dict__)
        except ModuleNotFoundError as error:
            self._answer("missing", [str(error.name), ""])
            os._exit(0)
        except BaseException as error:
            self._answer("unloaded", [type(error).__name__, _text(error)])
            os._exit(0)
        # A copy: what the program does to its own names later changes nothing.
        functions = dict(module.__dict__)
        self._answer("value", _encoded(None))
        while True:
            called, args, kwargs = self._next()
            try:
                answer = _encoded(functions.get(called, _undefined)(*args, **kwargs))
            except ModuleNotFoundError as error:
                self._answer("missing", [str(error.name), ""])
            except BaseException as error:
                self._answer("raised", [type(error).__name__, _text(error)])
            else:
                self._answer("value", answer)

    def _next(self) -> Any:
        (length,) = struct.unpack("<Q", self._read(8))
        return pickle.loads(self._read(length))

    def _read(self, length: int) -> bytes:
        read = bytearray()
        while len(read) < length:
            chunk = os.read(self._receive, length - len(read))
            if not chunk:
                os._exit(0)
            read += chunk
        return bytes(read)

    def _answer(self, kind: str, value: Any) -> None:
        try:
            message = json.dumps([kind, value]).encode("ascii")
        except (ValueError, RecursionError):  # nested without end
            message = json.dumps(["raised", ["RecursionError", "the result is nested too deeply"]]).encode("ascii")
        _write(self._send, struct.pack("<Q", len(message)) + message)


def _cpu_clock(pid: int) -> int:
    """Return the clock of the CPU time of a process, as clock_getcpuclockid(3) computes it."""
    return (~pid << 3) | 2


def _as_raised(name: str, text: str) -> Exception:
    """Return the builtin exception of that name, or RuntimeError if it signals a missing module or ends a loop."""
    raised = getattr(builtins, name, None)
    kept = (ImportError, StopIteration, StopAsyncIteration)
    if isinstance(raised, type) and issubclass(raised, Exception) and not issubclass(raised, kept):
        with contextlib.suppress(TypeError):  # some want more than a text
            return raised(text)
    return RuntimeError(f"{name}: {text}")


def _undefined(*_: Any, **__: Any) -> NoReturn:
    raise NameError("the program does not define this function")


def _compiled(source: str, name: str) -> types.CodeType:
    # Without the future features of this file.
    return compile(source, name, "exec", dont_inherit=True)


def _module() -> types.ModuleType:
    """Register a module of this name in both processes, so that instances of the task's own classes can be sent."""
    module = types.ModuleType("program")
    sys.modules["program"] = module
    return module


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _encoded(value: Any) -> Any:
    """Encode a value as JSON with tags, by builtin methods of the types, so that a subclass cannot disguise itself."""
    if value is None or value is True or value is False:
        return value
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return value is True
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return ["int", hex(int.__index__(value))]
    if isinstance(value, float):
        return ["float", float.hex(value)]
    if isinstance(value, complex):
        return ["complex", [float.hex(value.real), float.hex(value.imag)]]
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", bytes(value).hex()]
    if isinstance(value, dict):
        return ["dict", [[_encoded(key), _encoded(held)] for key, held in dict.items(value)]]
    kinds: tuple[Any, ...] = (list, tuple, set, frozenset)
    for kind in kinds:
        if isinstance(value, kind):
            return [kind.__name__, [_encoded(held) for held in kind.__iter__(value)]]
    return ["strange", type(value).__name__]


def _decoded(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    kind, held = value
    if kind == "int":
        return int(held, 16)
    if kind == "float":
        return float.fromhex(held)
    if kind == "complex":
        return complex(float.fromhex(held[0]), float.fromhex(held[1]))
    if kind == "bytes":
        return bytes.fromhex(held)
    if kind == "dict":
        return {_decoded(key): _decoded(each) for key, each in held}
    if kind == "strange":
        return _Strange(str(held))
    containers = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
    return containers[kind](_decoded(each) for each in held)


def _described(error: BaseException) -> str:
    text = _text(error)
    return type(error).__name__ + (": " + text if text else "")


def _text(error: BaseException) -> str:
    try:
        return str.__str__(str(error))[:500]
    except BaseException:
        return ""


if __name__ == "__main__":
    main()
