"""A stretch of code that may not reach the network, and that tells whether it tried.

The interpreter's audit hooks see every look-up of a host and every connection, whichever library asks. A hook cannot
be taken out again, so there is one, and a context variable says for whom it acts: other threads and tasks go on
as before. Threads that the guarded code itself starts are not guarded.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

_EVENTS = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"})
_attempts: ContextVar[list[str] | None] = ContextVar("attempts", default=None)


@contextlib.contextmanager
def offline(*, unless: bool = False) -> Iterator[list[str]]:
    """Refuse the network within; yields the list of what was attempted. ``unless`` lets everything through."""
    attempts: list[str] = []
    if unless:
        yield attempts
        return
    _install()
    token = _attempts.set(attempts)
    try:
        yield attempts
    finally:
        _attempts.reset(token)


@functools.cache
def _install() -> None:
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _EVENTS:
        attempts = _attempts.get()
        if attempts is not None:
            attempts.append(f"{event} {arguments[1] if event == 'socket.connect' else arguments[0]}")
            raise ConnectionRefusedError("scorers may not use the network")
