"""Where another protocol reads a run's answers otherwise: its accuracies beside those that a table shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from maestro_eval.analysis.sample_scores import TaskOutcomes, read_scores, sampled, weighted_mean
from maestro_eval.analysis.scored_run import MeasuredRun
from maestro_eval.records import PROTOCOLS
from maestro_eval.scoring import RunScores

# A point, and the noise of floats.
_MOST_APART = 0.01 + 1e-9
_MOST_NAMED = 3


class OtherReading(Struct, frozen=True):
    """The accuracy of a system's task as shown, and under another protocol."""

    system: str
    task: str
    protocol: str
    shown: float
    reads: float


def other_readings(scores: RunScores, run: MeasuredRun) -> Iterator[OtherReading]:
    """The tasks of ``run`` that another protocol of the same pass puts more than a point higher or lower."""
    for protocol, others in scores.elsewhere.items():
        found = read_scores(others)
        for task, record in run.records.items():
            shown, reads = (_mean((record, samples)) for samples in (run.outcomes(task), found[task].samples))
            if abs(shown - reads) > _MOST_APART:
                yield OtherReading(run.name, task, protocol, shown, reads)


def protocol_notes(readings: Sequence[OtherReading], shown: str) -> Iterator[str]:
    """One line for each protocol that reads otherwise; it names the widest differences."""
    for protocol in PROTOCOLS:
        apart = sorted(
            (each for each in readings if each.protocol == protocol), key=lambda each: -abs(each.shown - each.reads)
        )
        named = ", ".join(
            f"{each.reads * 100:.1f} for {each.system} on {each.task} ({each.shown * 100:.1f})"
            for each in apart[:_MOST_NAMED]
        )
        more = f", and otherwise in {len(apart) - _MOST_NAMED} more cells" if len(apart) > _MOST_NAMED else ""
        if apart:
            yield f"{protocol} reads {named}{more}; in brackets what {shown} reads"


def _mean(task: TaskOutcomes) -> float:
    return weighted_mean(sampled([task], lambda outcome: outcome.wrong))
