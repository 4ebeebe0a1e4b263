"""The filter is run here by a small BPF machine, so that both architectures are checked on either."""

import struct

import pytest

from maestro_eval.sandbox.seccomp import system_call_filter

ALLOWED, KILLED, NO_SUCH_CALL = 0x7FFF0000, 0x80000000, 0x00050026
X86_64, AARCH64, I386 = 0xC000003E, 0xC00000B7, 0x40000003


def verdict(machine: str, number: int, first: int = 0, *, architecture: int | None = None) -> int:
    program = system_call_filter(machine)
    assert program is not None
    native = X86_64 if machine == "x86_64" else AARCH64
    call = struct.pack("<IIQ6Q", number, architecture or native, 0, first, 0, 0, 0, 0, 0)
    steps: list[tuple[int, int, int, int]] = list(struct.iter_unpack("=HBBI", program))
    at, register = 0, 0
    while True:
        code, then, otherwise, value = steps[at]
        if code == 0x06:
            return value
        at += 1
        if code == 0x20:
            (register,) = struct.unpack_from("<I", call, value)
        else:
            holds = {0x15: register == value, 0x35: register >= value, 0x45: bool(register & value)}[code]
            at += then if holds else otherwise


@pytest.mark.parametrize(("machine", "read", "execve"), [("x86_64", 0, 59), ("aarch64", 63, 221)])
def test_ordinary_calls_pass(machine: str, read: int, execve: int) -> None:
    assert verdict(machine, read) == ALLOWED
    assert verdict(machine, execve) == ALLOWED


@pytest.mark.parametrize(
    ("machine", "numbers"),
    [("x86_64", (319, 29, 272, 435, 101, 321, 425, 438)), ("aarch64", (279, 194, 97, 435, 117, 280, 438))],
)
def test_dangerous_calls_do_not_exist(machine: str, numbers: tuple[int, ...]) -> None:
    assert {verdict(machine, number) for number in numbers} == {NO_SUCH_CALL}


@pytest.mark.parametrize(("machine", "clone"), [("x86_64", 56), ("aarch64", 220)])
def test_clone_makes_processes_but_no_user_namespace(machine: str, clone: int) -> None:
    assert verdict(machine, clone, 0x11) == ALLOWED
    assert verdict(machine, clone, 0x10000011) == NO_SUCH_CALL


@pytest.mark.parametrize(("machine", "socket"), [("x86_64", 41), ("aarch64", 198)])
def test_only_unix_sockets_exist(machine: str, socket: int) -> None:
    assert verdict(machine, socket, 1) == ALLOWED
    assert {verdict(machine, socket, family) for family in (2, 10, 16, 17, 40)} == {NO_SUCH_CALL}


@pytest.mark.parametrize(("machine", "prctl"), [("x86_64", 157), ("aarch64", 167)])
def test_a_program_may_name_itself_but_not_outlive_its_owner(machine: str, prctl: int) -> None:
    assert verdict(machine, prctl, 15) == ALLOWED
    assert verdict(machine, prctl, 1) == NO_SUCH_CALL


def test_calls_of_another_architecture_kill() -> None:
    assert verdict("x86_64", 1, architecture=I386) == KILLED


def test_the_other_numbering_of_x86_64_is_closed() -> None:
    assert verdict("x86_64", 0x40000000 + 319) == NO_SUCH_CALL


def test_an_unknown_machine_has_no_filter() -> None:
    assert system_call_filter("riscv64") is None
