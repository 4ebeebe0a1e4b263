"""The expected failures. Any other exception is a defect of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from maestro_eval.records.content import Sample

if TYPE_CHECKING:
    from maestro_eval.records.rollout import ExpertCall

FailureCause = Literal["sample", "policy", "expert", "service", "deadline", "harness"]
CallErrorKind = Literal[
    "connection", "http", "timeout", "malformed", "deadline", "key", "context", "images", "released"
]


class CallError(Struct, frozen=True, gc=False):
    """The error of a model call that got no usable reply. ``str`` of it is one line that begins with its kind.

    ``kind``: ``connection`` (no server, or cut off), ``http`` (refused, with its ``status``), ``timeout``,
    ``malformed`` (no chat completion), ``deadline`` (the rollout's time was over), ``key`` (the API key is unset or
    unusable), ``context`` (the request is longer than the model's context), ``images`` (the server refuses that many
    images, or any), ``released`` (released skill code failed). ``retriable``: the same request may succeed later.
    """

    kind: CallErrorKind
    detail: str
    status: int | None = None
    retriable: bool = True

    def __str__(self) -> str:
        return f"{self.kind}{'' if self.status is None else f' {self.status}'}: {self.detail}"

    @property
    def needs_settings(self) -> bool:
        """Return whether the request can only succeed with other settings, of the server or of the run."""
        return self.kind in ("context", "images")


class MaestroError(Exception):
    """The base of all expected failures."""


class UserError(MaestroError):
    """Bad input or a bad environment. The message is one line: which file, which field, what fixes it.

    The command line prints it without a traceback and exits with 2.
    """


class SampleError(MaestroError):
    """A row that cannot be run, because of a corrupt image for example; ``sample`` is what could be read of it.

    ``problem`` is the message without the row's name; ``kind`` is the same for all rows with this defect, whatever the
    message names of each.
    """

    def __init__(self, problem: str, sample: Sample, kind: str) -> None:
        super().__init__(f"{sample.task} {sample.sample_id}: {problem}")
        self.problem = problem
        self.sample = sample
        self.kind = kind


class RolloutFailure(MaestroError):
    """The end of a rollout as ``failed``: ``cause`` says whose fault, ``detail`` is one line.

    ``fault`` is the error of the model call behind it, if any; ``kind``: see ``Failed``. ``calls`` are model calls that
    are recorded nowhere else, including the failed one.
    """

    def __init__(
        self,
        cause: FailureCause,
        detail: str,
        calls: tuple[ExpertCall, ...] = (),
        *,
        fault: CallError | None = None,
        kind: str = "",
    ) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause: FailureCause = cause
        self.detail = detail
        self.calls = calls
        self.fault = fault
        self.kind = kind

    @classmethod
    def of_call(cls, cause: FailureCause, call: ExpertCall, *, name: str = "", recorded: bool = True) -> RolloutFailure:
        """Return the failure of a ``call`` to ``name``; its cause is ``deadline`` if the rollout's time was over.

        ``recorded``: whether the call is recorded elsewhere.
        """
        over = call.fault is not None and call.fault.kind == "deadline"
        detail = f"{name}: {call.error}" if name else call.error
        return cls("deadline" if over else cause, detail, () if recorded else (call,), fault=call.fault)
