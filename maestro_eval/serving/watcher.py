"""The parent of one engine: runs a command, and ends all its processes when the process that started it dies.

Run as a script (``watcher.py GRACE_S COMMAND…``) with a pipe as standard input. When the pipe closes (its other end
has died, SIGKILL included) or at SIGTERM, all descendants of the command get SIGTERM and after GRACE_S seconds SIGKILL;
a second SIGTERM kills at once. When the command ends by itself, its leftover processes are ended too. The exit code is
the command's, 128 + n for signal n.

As subreaper this process inherits descendants that have moved to sessions of their own. Linux only. Killing the watcher
itself kills the command, but not the command's children.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
# The grace in seconds for processes that the command leaves behind when it ends by itself.
_LEFTOVERS_S = 5.0


class Watcher:
    """Runs one command from its start until its last descendant has ended."""

    def __init__(self, command: list[str]) -> None:
        self._terms = 0
        self._wake, wake_by = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # Signals arrive as bytes through this pipe; the handlers only prevent the default action, death.
        signal.set_wakeup_fd(wake_by, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        libc = ctypes.CDLL(None)
        libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._command = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            # preexec_fn is safe here: this process has one thread and no locks.
            preexec_fn=lambda: libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
        )
        self._code: int | None = None

    def run(self, grace_s: float) -> int:
        """Wait until the command and its descendants have ended; return the exit code."""
        open_pipe = True
        while self._code is None and open_pipe and not self._terms:
            open_pipe = self._wait(None)
        self._end(min(grace_s, _LEFTOVERS_S) if self._code is not None else grace_s)
        code = self._code or 0
        return 128 - code if code < 0 else code

    def _end(self, grace_s: float) -> None:
        _signal_all(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        # Two may have arrived together.
        terms = min(self._terms, 1)
        while _descendants() and self._terms == terms and (left := deadline - time.monotonic()) > 0:
            # A grandchild sends us no SIGCHLD until it is our child, so the waits are short.
            self._wait(min(left, 0.05), stdin=False)
        while _descendants():
            _signal_all(signal.SIGKILL)
            self._wait(0.02, stdin=False)
        self._reap()

    def _wait(self, seconds: float | None, *, stdin: bool = True) -> bool:
        """Wait for a signal, a child's death, EOF or the timeout; return False once standard input is closed."""
        watched = [self._wake, *([0] if stdin else [])]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                arrived = os.read(self._wake, 512)
                self._terms += sum(number != signal.SIGCHLD for number in arrived)
        self._reap()
        return 0 not in ready or bool(os.read(0, 4096))

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if pid == self._command.pid:
                    self._code = self._command.returncode = os.waitstatus_to_exitcode(status)


def _signal_all(number: int) -> None:
    for pid in _descendants():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _descendants() -> set[int]:
    """Return the living descendants of this process."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
                # The process's name may contain ")"; the fields follow the last one.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state not in (b"Z", b"X"):
                    parents[int(entry)] = int(parent)
    found: set[int] = set()
    layer = {os.getpid()}
    while layer := {pid for pid, parent in parents.items() if parent in layer}:
        found |= layer
    return found


if __name__ == "__main__":
    try:
        watcher = Watcher(sys.argv[2:])
    except OSError as error:
        print(f"{sys.argv[2]}: cannot be run ({error.strerror})", file=sys.stderr)
        sys.exit(127)
    sys.exit(watcher.run(float(sys.argv[1])))
