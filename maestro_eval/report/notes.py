"""What a reader of a comparison's tables must know: the marks and measures in them, and what the analysis notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from maestro_eval.analysis import Comparison, SystemResult
from maestro_eval.records import PROTOCOLS
from maestro_eval.report.accuracy import OWN_TEXT_MARK, is_on_own_text
from maestro_eval.report.differences import CATEGORY_NOTE, REPORTED_NOTE, contrast_note
from maestro_eval.report.findings import Findings
from maestro_eval.report.table import FAILURE_MARK, LACKING_MARK, key_text, printable
from maestro_eval.scoring import FailureGroup

OWN_TEXT_NOTE = (
    f"{OWN_TEXT_MARK}: judged on all that the policy wrote: its rollouts are not in the released style, which records "
    "the text that the released scorer reads."
)
FAILURE_NOTE = (
    f"{FAILURE_MARK}n: n samples failed or never ran. They count as wrong; "
    "the interval reaches from all of them wrong to all of them right."
)
LACKING_NOTE = (
    f"{LACKING_MARK}n: n rollouts went without evidence that a service failed to give; "
    "`maestro-eval resume RUN --missing-evidence` runs them again."
)
INTERVAL_NOTE = "A group's mean weighs its benchmarks equally."
REPEAT_NOTE = (
    "avg@k: mean of k answers to each sample; pass@j: share of samples of which one of j answers is right; "
    "majority@k: the most frequent answer counts, ties shared; rerun: standard deviation in points of the accuracy "
    "of one pass, by asking the same system again."
)
MEASURE_NOTE = "Further measures: mean over the n samples that have one, in its own unit [95 % interval]."
RANK_NOTE = "Rank by the mean, on the samples that all have [95 % interval of the rank, all other systems allowed for]."

_NAMED = 3


def reading_notes(found: Findings) -> tuple[str, ...]:
    """All notes of a report."""
    comparison = found.comparison
    return (*_of_tables(comparison), *_silent(found), *map(printable, (*comparison.notes, *protocol_notes(comparison))))


def first_notes(found: Findings, most: int) -> tuple[str, ...]:
    """The ``most`` notes that matter first: failures, missing evidence, then what changes the meaning of a number."""
    comparison = found.comparison
    notes = [*_of_rollouts(comparison), *_silent(found), *map(printable, comparison.notes), *_apart(comparison)]
    more = len(notes) - most
    if more <= 0:
        return tuple(notes)
    return (*notes[: most - 1], f"{notes[most - 1]} (and {more} more in the report)")


def protocol_notes(comparison: Comparison) -> Iterator[str]:
    """One line for each protocol that reads otherwise; it names the widest differences."""
    for protocol in PROTOCOLS:
        apart = [each for each in comparison.readings if each.protocol == protocol]
        apart.sort(key=lambda each: -abs(each.shown - each.reads))
        named = ", ".join(
            f"{each.reads * 100:.1f} for {each.system} on {each.task} ({each.shown * 100:.1f})"
            for each in apart[:_NAMED]
        )
        more = f", and otherwise in {len(apart) - _NAMED} more cells" if len(apart) > _NAMED else ""
        if apart:
            yield f"{protocol} reads {named}{more}; in brackets what {comparison.systems[0].protocol} reads"


def _apart(comparison: Comparison) -> Iterator[str]:
    counts = Counter(each.protocol for each in comparison.readings)
    if counts:
        said = ", ".join(f"{protocol} {counts[protocol]}" for protocol in PROTOCOLS if counts[protocol])
        yield f"accuracies that another scoring protocol puts more than a point higher or lower: {said}"


def _silent(found: Findings) -> Iterator[str]:
    if found.silent:
        said = "; ".join(f"{printable(name)} {count:,} rollouts" for name, count in found.silent.items())
        yield f"ended without an answer: {said}"


def _of_tables(comparison: Comparison) -> Iterator[str]:
    tasks = [task for system in comparison.systems for task in system.tasks.values()]
    yield INTERVAL_NOTE
    if any(task.n_failed for task in tasks):
        yield FAILURE_NOTE
    if any(task.n_lacking for task in tasks):
        yield LACKING_NOTE
    if any(map(is_on_own_text, comparison.systems)):
        yield OWN_TEXT_NOTE
    if any(task.repeats for task in tasks):
        yield REPEAT_NOTE
    if any(task.others for task in tasks):
        yield MEASURE_NOTE
    if comparison.contrasts or comparison.reported:
        yield contrast_note(comparison)
    if comparison.by_category:
        yield CATEGORY_NOTE
    if comparison.ranks:
        yield RANK_NOTE
    if comparison.reported:
        yield REPORTED_NOTE


def _of_rollouts(comparison: Comparison) -> Iterator[str]:
    failed = [system for system in comparison.systems[: comparison.peers] if _failed(system)]
    if failed:
        causes = "; ".join(map(_failures, failed[:_NAMED]))
        more = f"; and of {len(failed) - _NAMED} more systems" if len(failed) > _NAMED else ""
        yield f"failed samples ({FAILURE_MARK}) count as wrong, and widen the interval: {causes}{more}"
    lacking = [system for system in comparison.systems if any(task.n_lacking for task in system.tasks.values())]
    if lacking:
        said = "; ".join(
            f"{printable(system.name)}: {sum(task.n_lacking for task in system.tasks.values()):,} rollouts without "
            f"{', '.join(map(printable, system.missing_evidence))}"
            for system in lacking[:_NAMED]
        )
        yield f"evidence that a service failed to give ({LACKING_MARK}): {said}"
    if any(map(is_on_own_text, comparison.systems)):
        yield OWN_TEXT_NOTE


def _failed(system: SystemResult) -> int:
    return sum(task.n_failed for task in system.tasks.values())


def _failures(system: SystemResult) -> str:
    """How many samples failed, and the most frequent cause."""
    if not system.failures:
        return printable(f"{system.name}: {_failed(system):,}")
    return printable(f"{system.name}: {', '.join(map(_cause, system.failures[:_NAMED]))}")


def _cause(group: FailureGroup) -> str:
    detail = "" if group.cause.endswith(group.detail) else f": {group.detail}"
    return f"{group.count:,} × {group.cause} (for instance {key_text(group.key)}{detail})"
