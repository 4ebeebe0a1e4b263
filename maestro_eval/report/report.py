"""Documents from findings: the whole report and the summary for a terminal, with their legends and notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from maestro_eval.analysis import Comparison
from maestro_eval.records import PROTOCOLS
from maestro_eval.report import accuracy, differences
from maestro_eval.report import document as doc
from maestro_eval.report.figures import difference_figures, pareto_figure
from maestro_eval.report.findings import Findings
from maestro_eval.report.provenance import provenance_tables
from maestro_eval.report.routing import routing_sections
from maestro_eval.report.swap import swap_headline, swap_section
from maestro_eval.report.terminal import WIDTH, render_terminal
from maestro_eval.scoring import FailureGroup

OWN_TEXT_NOTE = (
    f"{accuracy.OWN_TEXT_MARK}: scored on the policy's whole text, because its rollouts are not in the released "
    "style, which records the text that the released scorer reads."
)
FAILURE_NOTE = (
    f"{doc.FAILURE_MARK}n: n samples failed or never ran. They have no verdict: the percentage counts them as "
    "wrong, the interval ranges from all of them wrong to all of them right."
)
LACKING_NOTE = (
    f"{doc.LACKING_MARK}n: n rollouts ran without evidence that a service failed to deliver; "
    "`maestro-eval resume RUN --missing-evidence` runs them again."
)
INTERVAL_NOTE = "A group's mean weighs its benchmarks equally."
REPEAT_NOTE = (
    "avg@k: mean of k answers to each sample; pass@j: share of samples of which one of j answers is right; "
    "majority@k: the most frequent answer counts, ties shared; rerun: standard deviation in points of the accuracy "
    "of one pass, by asking the same system again."
)
MEASURE_NOTE = "Further measures: mean over the n samples that have one, in its own unit [95 % interval]."
RANK_NOTE = "Rank by the mean on the samples that all systems have [95 % interval of the rank among all systems]."
JUDGEMENT_NOTE = (
    "Percent of the answers that both judged: right by the rule, right by the model, and judged alike. The accuracies "
    "above use the rule alone."
)

_NAMED = 3


def first_notes(found: Findings, most: int) -> tuple[str, ...]:
    """Return the first ``most`` notes: failures, missing evidence, then changes in the meaning of a number."""
    comparison = found.comparison
    notes = [*_of_rollouts(comparison), *_silent(found), *comparison.notes]
    if counts := Counter(each.protocol for each in comparison.readings):
        listed = ", ".join(f"{counts[protocol]} under {protocol}" for protocol in PROTOCOLS if counts[protocol])
        notes.append(f"accuracies that differ by more than a point under another scoring protocol: {listed}")
    more = len(notes) - most
    if more <= 0:
        return tuple(notes)
    return (*notes[: most - 1], f"{notes[most - 1]} (and {more} more in the report)")


def protocol_notes(comparison: Comparison) -> Iterator[str]:
    """Yield one line for each protocol under which accuracies differ; it names the largest differences."""
    for protocol in PROTOCOLS:
        differing = [each for each in comparison.readings if each.protocol == protocol]
        differing.sort(key=lambda each: -abs(each.shown - each.reads))
        named = ", ".join(
            f"{each.reads * 100:.1f} for {each.system} on {each.task} ({each.shown * 100:.1f})"
            for each in differing[:_NAMED]
        )
        more = f", and otherwise in {len(differing) - _NAMED} more cells" if len(differing) > _NAMED else ""
        if differing:
            yield f"{protocol} reads {named}{more}; in brackets what {comparison.systems[0].protocol} reads"


def _silent(found: Findings) -> Iterator[str]:
    if found.silent:
        listed = "; ".join(f"{name} {count:,} rollouts" for name, count in found.silent.items())
        yield f"ended without an answer: {listed}"


def _of_tables(comparison: Comparison) -> Iterator[str]:
    systems = comparison.systems
    tasks = [task for system in systems for task in system.tasks.values()]
    holds = {
        INTERVAL_NOTE: True,
        FAILURE_NOTE: any(system.n_failed for system in systems),
        LACKING_NOTE: any(system.n_lacking for system in systems),
        OWN_TEXT_NOTE: any(map(accuracy.is_on_own_text, systems)),
        REPEAT_NOTE: any(task.repeats for task in tasks),
        MEASURE_NOTE: any(task.others for task in tasks),
        differences.contrast_note(comparison): comparison.contrasts or comparison.reported,
        differences.CATEGORY_NOTE: comparison.by_category,
        RANK_NOTE: comparison.ranks,
        differences.REPORTED_NOTE: comparison.reported,
    }
    yield from (note for note, there in holds.items() if there)


def _of_rollouts(comparison: Comparison) -> Iterator[str]:
    failed = [system for system in comparison.systems[: comparison.peers] if system.n_failed]
    if failed:
        causes = "; ".join(
            f"{system.name}: {', '.join(map(_cause, system.failures[:_NAMED])) or f'{system.n_failed:,}'}"
            for system in failed[:_NAMED]
        )
        more = f"; and of {len(failed) - _NAMED} more systems" if len(failed) > _NAMED else ""
        yield (
            f"failed samples ({doc.FAILURE_MARK}) have no verdict: the percentage counts them as wrong, the interval "
            f"covers both: {causes}{more}"
        )
    lacking = [system for system in comparison.systems if system.n_lacking]
    if lacking:
        listed = "; ".join(
            f"{system.name}: {system.n_lacking:,} rollouts without {', '.join(system.missing_evidence)}"
            for system in lacking[:_NAMED]
        )
        yield f"evidence that a service failed to deliver ({doc.LACKING_MARK}): {listed}"
    if any(map(accuracy.is_on_own_text, comparison.systems)):
        yield OWN_TEXT_NOTE


def failure_text(group: FailureGroup) -> str:
    """Return what the failures of a group have in common, and the first of them."""
    shared = group.detail if group.unjudged and group.alike else group.cause
    own = "" if group.detail in shared else f": {group.detail}"
    return f"{shared} (for instance {doc.key_text(group.key)}{own})"


def _cause(group: FailureGroup) -> str:
    return f"{group.count:,} × {failure_text(group)}"


LINES = 40
"""The most lines that a command prints after it runs or compares something."""

_MOST_NOTES = 3
_MOST_CONTRASTS = 8


def report_document(found: Findings, *, plots: bool = True, lead: Sequence[str] = ()) -> doc.Document:
    """Return a headline, ``lead``, the main tables, then all other findings in folded sections.

    ``plots`` adds the figures.
    """
    main, details = _sections(found, plots=plots)
    pareto = pareto_figure(found.comparison, found.routings) if plots else ()
    judged = tuple(accuracy.judgement_tables(found.judged, found.protocol))
    sections = [
        *main,
        *([swap_section(found.swap)] if found.swap else []),
        *differences.headroom_sections(found.headrooms, found.explored, found.groups),
        doc.Section("Accuracy against what it takes", tuple(pareto)),
        *routing_sections(found.routings),
        *details,
        doc.Section("Judged by models", (*judged, doc.Notes((JUDGEMENT_NOTE,))) if judged else ()),
        doc.Section("Provenance", tuple(provenance_tables(found.comparison.systems))),
    ]
    opening = tuple(doc.Notes(each) for each in (tuple(_headline(found)), *((line,) for line in lead)) if each)
    return doc.Document(_title(found), opening, tuple(section for section in sections if section.blocks))


def tables_document(found: Findings) -> doc.Document:
    main, details = _sections(found, plots=False)
    return doc.Document(_title(found), (), tuple(section for section in (*main, *details) if section.blocks))


def _sections(found: Findings, *, plots: bool) -> tuple[list[doc.Section], list[doc.Section]]:
    comparison = found.comparison
    figures = difference_figures(comparison) if plots else ()
    notes = (*_of_tables(comparison), *_silent(found), *comparison.notes, *protocol_notes(comparison))
    main = [
        doc.Section("Accuracy", tuple(accuracy.accuracy_tables(comparison)), folded=False),
        doc.Section("Notes", (doc.Notes(notes),), folded=False),
        doc.Section("Differences", (*differences.contrast_tables(comparison), *figures)),
        doc.Section("Differences by category", tuple(differences.category_difference_tables(comparison))),
        doc.Section("Ranks", tuple(accuracy.rank_tables(comparison))),
        doc.Section("All pairs", tuple(differences.pairwise_tables(comparison))),
        doc.Section("Against reported numbers", tuple(differences.reported_tables(comparison))),
    ]
    details = [
        doc.Section("Failures", tuple(accuracy.failure_tables(comparison))),
        doc.Section("Categories", tuple(accuracy.category_tables(comparison))),
        doc.Section("Further measures", tuple(accuracy.measure_tables(comparison))),
        doc.Section("Repeats", tuple(accuracy.repeat_tables(comparison))),
    ]
    return main, details


def _title(found: Findings) -> str:
    names = [system.name for system in found.comparison.systems]
    return f"maestro-eval: {names[0]}" if len(names) == 1 else f"maestro-eval: {len(names)} systems"


def summary_document(found: Findings, *, width: int = WIDTH, lines: int = LINES) -> doc.Document:
    """Return accuracies, contrasts and notes for a terminal of ``width`` columns, in at most ``lines`` lines.

    It has the tables of all benchmarks if they fit, else that of the means with fewer notes, else with fewer systems.
    """
    contrasts = differences.contrast_lines(found.comparison.contrasts)
    if (more := len(contrasts) - _MOST_CONTRASTS + 1) > 1:
        contrasts = [*contrasts[: _MOST_CONTRASTS - 1], f"{more} more comparisons are in the report"]
    for tables, notes in _attempts(found.comparison):
        said = (*contrasts, *first_notes(found, notes))
        document = doc.Document("maestro-eval", (*tables, *([doc.Notes(said)] if said else [])))
        if render_terminal(document, width).count("\n") <= lines:
            break
    return document


def _attempts(comparison: Comparison) -> Iterator[tuple[Sequence[doc.Table], int]]:
    every, means = list(accuracy.accuracy_tables(comparison)), accuracy.mean_table(comparison)
    fewest = [means] if means else every
    yield every, _MOST_NOTES
    for notes in range(_MOST_NOTES, 0, -1):
        yield fewest, notes
    for rows in range(max(len(table.rows) for table in fewest), 0, -1):
        yield [_cut(table, rows) for table in fewest], 1


def _cut(table: doc.Table, most: int) -> doc.Table:
    hidden = len(table.rows) - most
    more = f"{table.title}; {hidden} more rows are in the report" if hidden > 0 else table.title
    return replace(table, rows=table.rows[:most], title=more)


def _headline(found: Findings) -> Iterator[str]:
    comparison = found.comparison
    contrasts = comparison.contrasts
    if swap := found.swap:
        yield swap_headline(swap)
        # The swap's headline already has this pair's numbers.
        pair = (swap.augmented, swap.base)
        contrasts = tuple(each for each in contrasts if (each.system, each.baseline) != pair)
    yield from differences.contrast_lines(contrasts)
    if not comparison.contrasts and not found.swap:
        yield from accuracy.accuracy_lines(comparison)
