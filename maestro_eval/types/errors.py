"""The failures that have a name. What is not one of these is a defect of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from maestro_eval.types.sample import Sample

if TYPE_CHECKING:
    from maestro_eval.types.rollout import ExpertCall

FailureCause = Literal["sample", "policy", "expert", "service", "deadline", "harness"]


class MaestroError(Exception):
    """Base of all of them."""


class UserError(MaestroError):
    """Bad input or a bad environment. The message is one line: which file, which field, what mends it.

    The command line prints it without a traceback and exits with 2.
    """


class SampleError(MaestroError):
    """A row that cannot be asked, say for a corrupt image; ``sample`` is what could be read of it."""

    def __init__(self, message: str, sample: Sample) -> None:
        super().__init__(message)
        self.sample = sample


class RolloutFailure(MaestroError):
    """What ends a rollout as ``failed``: ``cause`` says whose fault, ``detail`` is one line.

    ``calls`` are model calls that are recorded nowhere else, the failed one among them.
    """

    def __init__(self, cause: FailureCause, detail: str, calls: tuple[ExpertCall, ...] = ()) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause: FailureCause = cause
        self.detail = detail
        self.calls = calls
