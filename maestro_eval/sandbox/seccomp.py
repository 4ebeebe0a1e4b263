"""A system call filter for what namespaces and resource limits leave open, as a classic BPF program.

It is a list of refusals, not of permissions: the program is an ordinary interpreter, and namespaces carry the
isolation. Refused are memory that outlives the process (and so has no limit), entries to kernel code that a script has
no use for, new namespaces, sockets other than Unix ones (VM sockets ignore network namespaces), and outliving a sandbox
whose owner was killed. A refused call fails with ENOSYS, as on a kernel without it.
"""

from __future__ import annotations

import platform
import struct
from dataclasses import dataclass

_X86_64, _AARCH64 = 0, 1
_ARCHITECTURES = {"x86_64": (_X86_64, 0xC000003E), "aarch64": (_AARCH64, 0xC00000B7)}

# Numbers on x86_64 and aarch64.
_REFUSED = {
    # Shared memory that outlives the process.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    # Namespaces and mounts. clone3 hides its flags from a filter; the C library falls back to clone.
    "clone3": (435, 435),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    # Kernel code that a script has no use for.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "open_by_handle_at": (304, 265),
}


@dataclass(frozen=True, slots=True)
class _ByArgument:
    """A call refused by its first argument: if ``jump`` holds against ``value``, or if it does not."""

    numbers: tuple[int, int]
    jump: int
    value: int
    refused_if: bool


_LOAD, _RETURN = 0x20, 0x06  # BPF_LD|W|ABS, BPF_RET|K
_IF_EQUAL, _IF_AT_LEAST, _IF_BITS = 0x15, 0x35, 0x45  # BPF_JMP|K with JEQ, JGE, JSET
_ALLOW, _KILL, _NO_SUCH_CALL = 0x7FFF0000, 0x80000000, 0x00050000 | 38
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data, little endian

_CLONE_NEWUSER, _PR_SET_PDEATHSIG, _AF_UNIX = 0x10000000, 1, 1
_CONDITIONAL = (
    _ByArgument((56, 220), _IF_BITS, _CLONE_NEWUSER, refused_if=True),  # clone
    _ByArgument((157, 167), _IF_EQUAL, _PR_SET_PDEATHSIG, refused_if=True),  # prctl
    _ByArgument((41, 198), _IF_EQUAL, _AF_UNIX, refused_if=False),  # socket
)
_FIRST_X32_CALL = 0x40000000


def system_call_filter(machine: str | None = None) -> bytes | None:
    """Return the program for ``machine`` (default: ours); ``None`` if we do not know its call numbers."""
    known = _ARCHITECTURES.get(machine or platform.machine())
    if known is None:
        return None
    column, architecture = known
    program = [
        _step(_LOAD, _ARCHITECTURE),
        # Another architecture's calls have other numbers, which cannot be interpreted safely.
        _step(_IF_EQUAL, architecture, then=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
    ]
    if column == _X86_64:
        program += [_step(_IF_AT_LEAST, _FIRST_X32_CALL, otherwise=1), _step(_RETURN, _NO_SUCH_CALL)]
    for numbers in _REFUSED.values():
        program += [_step(_IF_EQUAL, numbers[column], otherwise=1), _step(_RETURN, _NO_SUCH_CALL)]
    for rule in _CONDITIONAL:
        program += [
            _step(_IF_EQUAL, rule.numbers[column], otherwise=4),
            _step(_LOAD, _FIRST_ARGUMENT),
            _step(rule.jump, rule.value, then=int(not rule.refused_if), otherwise=int(rule.refused_if)),
            _step(_RETURN, _NO_SUCH_CALL),
            _step(_RETURN, _ALLOW),
        ]
    return b"".join([*program, _step(_RETURN, _ALLOW)])


def _step(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """Encode one ``struct sock_filter``; ``then`` and ``otherwise`` are how many steps a test skips."""
    return struct.pack("=HBBI", code, then, otherwise, value)
