"""Sentences and tables of differences: between systems, from reported numbers, from oracles, and of another call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from maestro_eval import analysis
from maestro_eval.analysis.oracle import MEAN, ROWS, Headroom, Regret, Selected, linked_tasks, selected
from maestro_eval.analysis.scored_run import Explored, pair_of
from maestro_eval.report import document as doc

STAR = "*"
REPORTED_NOTE = "A reported number is tested as a fixed value, since its own error is unknown."
CATEGORY_NOTE = (
    "p of equality: whether the differences of a task's categories are equal, by permuting the categories of clusters; "
    "adjusted over the tasks. Failures are read so that the differences are as equal as possible."
)

_MOST_TASKS = 4
_ADJUSTED = {
    "holm": "adjusted by Holm's method",
    "bh": "adjusted by Benjamini and Hochberg's method (false discoveries)",
    "none": "not adjusted",
}
_FAMILIES = {
    "system": "over the tasks of each system, and separately over its means",
    "baseline": "over all tasks against one baseline, and separately over all means",
    "all": "over all differences shown",
}
_COLUMNS = ("Δ, 95 % interval", "p adj.", "n", *doc.words("verdict"))


def contrast_lines(contrasts: Sequence[analysis.Contrast]) -> list[str]:
    """Return a sentence for each pair of systems: the differences on every mean, or on some benchmarks without one."""
    return [f"{pair}: {differences_text(list(found))}" for pair, found in groupby(contrasts, _pair)]


def differences_text(contrasts: Sequence[analysis.Contrast]) -> str:
    """Return the differences on every mean in words, or on some benchmarks if there is no mean."""
    means = [each for each in contrasts if each.kind == "mean"]
    # Significant and large differences come first: readers look for them.
    shown = sorted(means or contrasts, key=lambda each: (not each.significant, -abs(each.difference.value)))
    on = "on the" if means else "on"
    parts = [
        f"{difference_text(each)} {on} {doc.scope_title(each.scope, is_mean=each.kind == 'mean')}"
        for each in shown[: len(means) or _MOST_TASKS]
    ]
    more = len(shown) - len(parts)
    return "; ".join(parts) + (f"; and {more} more" if more else "")


def difference_text(contrast: analysis.Contrast) -> str:
    """Return a difference with its verdict: "+75.7 points [63.8, 83.8]", "no difference beyond ±4.2 points"."""
    if contrast.verdict == "no difference":
        return f"{doc.verdict_text(contrast)} points"
    if contrast.direction_only:
        return f"{doc.verdict_text(contrast)}, by how much is not known,"
    found = f"{doc.points(contrast.difference.value)} points {doc.points_interval(contrast.difference)}"
    return found if contrast.significant else f"undecided, {found},"


def contrast_tables(comparison: analysis.Comparison) -> Iterator[doc.Table]:
    for pair, found in groupby(comparison.contrasts, _pair):
        yield doc.table(pair, _COLUMNS, map(_row, found), "on")


def category_difference_tables(comparison: analysis.Comparison) -> Iterator[doc.Table]:
    for pair, found in groupby(comparison.by_category, _pair):
        rows: list[doc.Row] = []
        for each in found:
            rows.append(doc.row(doc.scope_title(each.scope), "", "", doc.p_value(each.p_adjusted)))
            rows += (
                doc.row(
                    f"· {name}",
                    doc.difference_cell(one.difference, doc.failed_mark(one.n_failed)),
                    str(one.difference.n),
                    "",
                )
                for name, one in each.categories.items()
            )
        columns = ("Δ, 95 % interval", "n", "p adj. of equality")
        yield doc.table(f"{pair}, by category", columns, rows, "on")


def pairwise_tables(comparison: analysis.Comparison) -> Iterator[doc.Table]:
    for each in comparison.pairwise:
        found = {(one.system, one.baseline): _delta(one, one.difference) for one in each.contrasts}
        found |= {(one.baseline, one.system): _delta(one, one.difference.negated) for one in each.contrasts}
        rows = [
            doc.row(name, *(found.get((name, other), doc.MISSING) for other in each.systems)) for name in each.systems
        ]
        title = f"row minus column, {doc.scope_title(each.scope, is_mean=True)}"
        yield doc.table(title, [f"− {name}" for name in each.systems], rows)


def reported_tables(comparison: analysis.Comparison) -> Iterator[doc.Table]:
    for reference in comparison.references:
        for system in comparison.systems:
            rows = [
                _row(each, doc.Cell(doc.percent(each.reported.value)))
                for each in comparison.reported
                if (each.system, each.reference) == (system.name, reference)
            ]
            if rows:
                yield doc.table(
                    f"{system.name} against {analysis.reported_name(reference)}", ("reported", *_COLUMNS), rows, "on"
                )


def contrast_note(comparison: analysis.Comparison) -> str:
    family = "" if comparison.adjust == "none" else f" {_FAMILIES[comparison.family]}"
    return (
        "Δ: difference in points, paired on the same samples [95 % interval of this difference alone; it reaches over "
        f"all that failures could hide]. p: {_ADJUSTED[comparison.adjust]}{family}. {STAR} better or worse: p < 0.05 "
        "whatever the failures hide. No difference beyond ±x: neither, and the interval lies within "
        f"±{100 * analysis.SMALL:g}."
    )


def _pair(contrast: analysis.Contrast | analysis.CategoryDifferences) -> str:
    return f"{contrast.system} against {contrast.baseline}"


def _row(contrast: analysis.Contrast | analysis.ReportedContrast, *before: doc.Cell) -> doc.Row:
    return doc.scope_row(
        contrast.scope,
        *before,
        _delta(contrast, contrast.difference),
        doc.p_value(contrast.p_adjusted),
        contrast.difference.n,
        doc.verdict_text(contrast),
        is_mean=contrast.kind == "mean",
    )


def _delta(contrast: analysis.Contrast | analysis.ReportedContrast, difference: analysis.Estimate) -> doc.Cell:
    star = STAR if contrast.significant else ""
    if isinstance(contrast, analysis.Contrast) and contrast.direction_only:
        return doc.Cell(doc.MISSING + star)
    return doc.difference_cell(difference, doc.failed_mark(contrast.n_failed) + star, best=contrast.significant)


HEADROOM_NOTE = (
    "Points on the same samples [95 % interval]: the system minus a row, so that a gap that is still open is negative. "
    f"{ROWS['random']}: the mean over all pairs; {ROWS['best model']}: one expert alone for all benchmarks of a group; "
    f"{ROWS['best model per benchmark']}: the expert that is the best on it alone; {ROWS['best pair']}: one pair, the "
    f"best on each benchmark; all three chosen on other samples (5 folds). {ROWS['best pair per sample']}: the best "
    "pair of each sample, a ceiling."
)
SELECTION_NOTE = (
    "in-sample: accuracy in percent on the samples by which it was chosen, which flatters. held-out: chosen on four "
    "fifths of the samples, valued on the others, by turns. agreement: how many of those five choices are the same."
)
_TITLES = {
    ROWS["random"]: "gain over random",
    ROWS["best model"]: "gain over the best single model",
    ROWS["best model per benchmark"]: "gain over the best model per benchmark",
    ROWS["best pair"]: "gap to the best pair per benchmark",
    ROWS["best pair per sample"]: "gap to the best pair per sample",
}


def headroom_sections(
    headrooms: Sequence[Headroom], explored: Sequence[Explored], groups: Mapping[str, Sequence[str]]
) -> Iterator[doc.Section]:
    tables = [*map(_headroom_table, headrooms)]
    for each in explored:
        tables += _selection_tables(each, groups)
    if tables:
        notes = (*([HEADROOM_NOTE] if headrooms else []), *([SELECTION_NOTE] if explored else []))
        yield doc.Section("Headroom", (doc.Notes(notes), *tables))


def _headroom_table(each: Headroom) -> doc.Table:
    rows = [
        doc.scope_row(scope, *map(doc.contrast_cell, found), is_mean=kind == "mean")
        for (scope, kind), found in groupby(each.contrasts, lambda contrast: (contrast.scope, contrast.kind))
    ]
    titles = dict.fromkeys(_TITLES[contrast.baseline] for contrast in each.contrasts)
    return doc.table(f"Headroom of {each.system}, with {each.candidates} choices in its registry", titles, rows, "on")


def _selection_tables(explored: Explored, groups: Mapping[str, Sequence[str]]) -> Iterator[doc.Table]:
    alone = [[task] for task in explored.tasks]
    together = linked_tasks(explored, groups)
    kinds = [("Best pair per benchmark", explored.pairs, alone), ("Best single model", explored.singles, together)]
    if together != alone:
        kinds.append(("Best model per benchmark", explored.singles, alone))
    columns = (*doc.words("chosen"), "in-sample", "held-out", "agreement")
    for title, candidates, scopes in kinds:
        if candidates:
            found = selected(explored, candidates, scopes)
            rows = [_selected(explored, each) for each in found]
            yield doc.table(f"{title}, of {len(candidates)} of {explored.manifest.registry.name}", columns, rows, "on")


def _selected(explored: Explored, each: Selected) -> doc.Row:
    expert, skill = pair_of(each.candidate)
    names = next(1 + len(one.alike) for one in explored.candidates if one.policy == each.candidate)
    if skill and names > 1:
        # Skills with identical requests are one candidate; the first of them is not better than the others.
        skill = "any" if names == len(explored.manifest.registry.skills) else f"{skill} (or {names - 1} alike)"
    chosen = f"{expert}@@{skill}" if skill else expert
    agreement = None if each.agreement is None else f"{100 * each.agreement:.0f} %"
    values = (analysis.Accuracy(each.in_sample), analysis.Accuracy(each.held_out))
    return doc.row(", ".join(map(doc.scope_title, each.tasks)), chosen, *values, agreement)


_NOTE = (
    "Points on the same rollouts [95 % interval]. regret: recorded minus counterfactual, below 0 where the other call "
    "would have been better. noise: recorded minus the same call rolled out again. net: the same call rolled out again "
    "minus the counterfactual."
)


def replay_document(regret: Regret, system: str, at: int, call: str) -> doc.Document:
    measures: dict[str, Mapping[str, analysis.Contrast]] = {"regret": regret.regret}
    if regret.noise:
        measures |= {"noise": regret.noise, "net": regret.net}
    rows = [
        doc.row(
            scope if scope == MEAN else doc.scope_title(scope),
            contrast.difference.n,
            *(doc.contrast_cell(each.get(scope)) for each in measures.values()),
        )
        for scope, contrast in regret.regret.items()
    ]
    found = doc.table(f"{system}: {call} at turn {at} instead", ("samples", *measures), rows, "on")
    notes = [_NOTE]
    if n := regret.rerolled:
        share = 100 * regret.flipped / n
        notes.append(f"{regret.flipped} of {n} rollouts ({share:.1f} %) came out otherwise with the same call")
    return doc.Document("Replay", (found, doc.Notes(tuple(notes))))
