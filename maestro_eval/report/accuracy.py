"""The main tables (systems by benchmarks and means, best first; bounds and published numbers follow below a rule), and
the detailed ones: failures, ranks, categories, further measures, repeats and the agreement of model judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval import analysis
from maestro_eval.report import document as doc
from maestro_eval.scoring.model_judge import Agreement

OWN_TEXT_MARK = "§"
_MOST_BENCHMARKS = 4
_AGGREGATIONS = {"mean": "all", "category_mean": "mean of the categories", "stratum_mean": "mean over strata"}


class _Scope(Struct, frozen=True):
    name: str
    tasks: tuple[str, ...]
    column: doc.Column

    def of(self, system: analysis.SystemResult) -> analysis.ScopeAccuracy | None:
        return system.scopes.get(self.name)

    @property
    def in_words(self) -> str:
        return f"the {doc.scope_title(self.name, is_mean=True)}" if self.column.is_mean else self.column.heading


def accuracy_tables(comparison: analysis.Comparison) -> Iterator[doc.Table]:
    """Yield a table for each group, with its mean last, and one for tasks without a group.

    A group within another has no table; its mean is a column of the other's.
    """
    for title, scopes in _groups(comparison).items():
        yield _table(comparison, title, scopes)


def accuracy_lines(comparison: analysis.Comparison) -> Iterator[str]:
    """Yield a sentence for each table: the best system by the mean, or for a single system its means or accuracies."""
    for title, scopes in _groups(comparison).items():
        found = _table(comparison, title, scopes)
        if _is_alone(comparison):
            (system,) = comparison.systems
            cells = zip([each for each in scopes if each.of(system)], found.rows, strict=True)
            values = [(scope, line.cells[-1]) for scope, line in cells]
            shown = [each for each in values if each[0].column.is_mean] or values[:_MOST_BENCHMARKS]
            yield f"{system.name}: {'; '.join(f'{cell.text} percent on {scope.in_words}' for scope, cell in shown)}"
        elif (key := _key(scopes)) is not None:
            best = found.rows[0]
            yield f"{best.name} is best: {best.cells[scopes.index(key)].text} percent on {key.in_words}"


def _groups(comparison: analysis.Comparison) -> dict[str, list[_Scope]]:
    found = {}
    grouped = {task for group in comparison.groups for task in group.tasks}
    for group in comparison.groups:
        if not group.within:
            means = [each for each in comparison.groups if each is group or each.within == group.name]
            known = [_mean(each, "mean" if each is group else "") for each in means if not each.absent]
            found[doc.scope_title(group.name)] = [*map(_task, group.tasks), *known]
    if rest := [task for task in doc.all_tasks(comparison) if task not in grouped]:
        found["other benchmarks" if found else "benchmarks"] = [*map(_task, rest)]
    return found


def mean_table(comparison: analysis.Comparison) -> doc.Table | None:
    scopes = [_mean(group, doc.scope_column(group.name).title) for group in comparison.groups]
    known = [scope for scope in scopes if any(map(scope.of, comparison.systems))]
    return _table(comparison, "means over benchmarks", known) if known else None


def is_on_own_text(system: analysis.SystemResult) -> bool:
    """Return whether the released protocol scored the policy's own text, since the style is not the released one."""
    return system.protocol == "released" and system.manifest.regime.style != "released"


def _task(task: str) -> _Scope:
    return _Scope(task, (task,), doc.scope_column(task))


def _mean(group: analysis.Group, title: str = "") -> _Scope:
    column = doc.scope_column(group.name, is_mean=True)
    return _Scope(group.name, group.tasks, replace(column, title=title or column.title))


def _table(comparison: analysis.Comparison, title: str, scopes: Sequence[_Scope]) -> doc.Table:
    protocol = comparison.systems[0].protocol
    by = "" if protocol == "official" else f" by the {protocol} protocol"
    heading = f"{title}: accuracy in percent{by}, 95 % interval"
    if _is_alone(comparison):
        (system,) = comparison.systems
        known = [(scope.column, each) for scope in scopes if (each := scope.of(system))]
        rows = [doc.row(column.heading, each.accuracy.n, each, is_mean=column.is_mean) for column, each in known]
        return doc.table(heading, ("n", _name(system)), rows, "benchmark")
    systems, peers = _sorted(comparison.systems, scopes), comparison.peers
    found = [[scope.of(system) for system in systems] for scope in scopes]
    cells = [doc.best_marked(column, peers) for column in found]
    rows = [
        doc.row(_name(system), *(column[place] for column in cells), apart=place >= peers)
        for place, system in enumerate(systems)
    ]
    rows += [
        doc.row(analysis.reported_name(reference), *(_reported(reference, scope) for scope in scopes), apart=True)
        for reference in comparison.references
        if any(reference.reported(scope.name, scope.tasks) for scope in scopes)
    ]
    columns = [replace(scope.column, n=_numbers(column)) for scope, column in zip(scopes, found, strict=True)]
    return doc.table(heading, columns, rows)


def _sorted(systems: Sequence[analysis.SystemResult], scopes: Sequence[_Scope]) -> list[analysis.SystemResult]:
    key = _key(scopes)

    def place(system: analysis.SystemResult) -> tuple[bool, float]:
        if system.kind != "run" or key is None:
            return system.kind != "run", 0.0
        found = key.of(system)
        return False, -found.accuracy.value if found else 1.0

    return sorted(systems, key=place)


def _key(scopes: Sequence[_Scope]) -> _Scope | None:
    return next((scope for scope in scopes if scope.column.is_mean), scopes[0] if len(scopes) == 1 else None)


def _is_alone(comparison: analysis.Comparison) -> bool:
    return len(comparison.systems) == 1 and not comparison.references


def _name(system: analysis.SystemResult) -> str:
    return f"{system.name}{OWN_TEXT_MARK if is_on_own_text(system) else ''}"


def _numbers(column: Iterable[analysis.ScopeAccuracy | None]) -> str:
    found = sorted({each.accuracy.n for each in column if each is not None})
    if not found:
        return ""
    return f"n {found[0]:,}" if len(found) == 1 else f"n {found[0]:,}–{found[-1]:,}"


def _reported(reference: analysis.Reference, scope: _Scope) -> doc.Cell:
    found = reference.reported(scope.name, scope.tasks)
    return doc.Cell(doc.MISSING if found is None else doc.percent(found.value))


def category_tables(comparison: analysis.Comparison) -> Iterator[doc.Table]:
    for task in doc.all_tasks(comparison):
        found = [system.tasks.get(task) for system in comparison.systems]
        names = sorted({name for each in found if each is not None for name in each.categories})
        if not names:
            continue
        shown: list[tuple[str, list[analysis.Accuracy | None]]] = [
            (name, [each and each.categories.get(name) for each in found]) for name in names
        ]
        records = {each.name: each for system in comparison.systems for each in system.manifest.tasks}
        shown.append((_AGGREGATIONS[records[task].aggregation], [*found]))
        rows = [
            doc.row(
                name,
                _number_of_samples(one.accuracy.n for one in column if one),
                *doc.best_marked(column, comparison.peers),
            )
            for name, column in shown
        ]
        yield doc.table(f"{doc.scope_title(task)} by category", _columns(comparison), rows, "category")


def measure_tables(comparison: analysis.Comparison) -> Iterator[doc.Table]:
    rows = []
    for task in doc.all_tasks(comparison):
        found = [system.tasks[task].others if task in system.tasks else {} for system in comparison.systems]
        for name in sorted({name for each in found for name in each}):
            measures = [each.get(name) for each in found]
            n = _number_of_samples(measure.n for measure in measures if measure)
            rows.append(doc.row(f"{doc.scope_title(task)}: {name}", n, *map(_measure_cell, measures)))
    if rows:
        yield doc.table("further measures, over the samples that gave a number", _columns(comparison), rows, "measure")


def repeat_tables(comparison: analysis.Comparison) -> Iterator[doc.Table]:
    for system in comparison.systems:
        shown = [(scope, found, found.repeats) for scope, found in system.scopes.items() if found.repeats]
        if shown:
            entries = [_repeats(repeats, found.n_failed) for _, found, repeats in shown]
            titles = list(dict.fromkeys(title for each in entries for title in each))
            rows = [
                doc.scope_row(
                    scope,
                    *map(each.get, titles),
                    doc.bounded(doc.percent, repeats.rerun, repeats.rerun_bounds),
                    is_mean=scope in system.means,
                )
                for (scope, _, repeats), each in zip(shown, entries, strict=True)
            ]
            yield doc.table(f"{system.name}: repeats", (*titles, "rerun"), rows, "benchmark")


def failure_tables(comparison: analysis.Comparison) -> Iterator[doc.Table]:
    rows = [
        doc.row(
            f"{system.name}: {doc.scope_title(scope, is_mean=scope in system.means)}",
            f"{found.n_failed} of {found.accuracy.n}",
            doc.percent(readings.worst),
            analysis.Accuracy(readings.completed) if readings.completed else None,
            doc.percent(readings.best),
            is_mean=scope in system.means,
        )
        for system in comparison.systems[: comparison.peers]
        for scope, found in system.scopes.items()
        if (readings := found.readings)
    ]
    if rows:
        titles = ("failed", "all wrong (shown above)", "completed only", "all right")
        yield doc.table("with and without what failed", titles, rows, "system: on")
    causes = [
        doc.row(f"{system.name}: {group.cause}", group.count, doc.key_text(group.key), group.detail)
        for system in comparison.systems
        for group in system.failures
    ]
    if causes:
        columns = ("rollouts", *doc.words("for instance", "what it met"))
        yield doc.table("causes of failures", columns, causes, "system: cause")


def rank_tables(comparison: analysis.Comparison) -> Iterator[doc.Table]:
    groups = {group.name: group for group in comparison.groups}
    systems = {system.name: system for system in comparison.systems}
    for ranking in comparison.ranks:
        group = groups[ranking.scope]
        scopes = (group.name, *group.tasks)
        found = {name: [systems[name].scopes[scope] for scope in scopes] for name in ranking.ranks}
        rows = [
            doc.row(
                name,
                doc.Cell(f"{rank.rank}", f"[{rank.low}, {rank.high}]"),
                *(
                    replace(cell, interval=f"n {each.accuracy.n:,}")
                    for cell, each in zip(doc.best_marked(found[name], 0), found[name], strict=True)
                ),
            )
            for name, rank in ranking.ranks.items()
        ]
        columns = [
            doc.Column("rank", is_mean=True),
            doc.Column("mean", is_mean=True),
            *map(doc.scope_column, group.tasks),
        ]
        yield doc.table(f"by {doc.scope_title(group.name, is_mean=True)}", columns, rows)


def judgement_tables(judged: Mapping[str, Sequence[Agreement]], protocol: str) -> Iterator[doc.Table]:
    rows = [
        doc.row(
            name,
            doc.scope_title(each.task),
            each.model,
            each.judged,
            *map(doc.percent, (each.rule, each.by_model, each.same / each.judged)),
        )
        for name, found in judged.items()
        for each in found
    ]
    if rows:
        columns = (*doc.words("task", "model"), "answers", "rule", "model says", "agreement")
        yield doc.table(f"Judged by models, beside {protocol}", columns, rows)


def _columns(comparison: analysis.Comparison) -> list[str]:
    return ["n", *(system.name for system in comparison.systems)]


def _number_of_samples(numbers: Iterable[int]) -> str:
    # Systems with different samples may have different numbers: all are shown.
    return " / ".join(map(str, dict.fromkeys(numbers))) or doc.MISSING


def _measure_cell(measure: analysis.Measure | None) -> doc.Cell | None:
    if measure is None:
        return None
    ends = "" if measure.low is None or measure.high is None else f"[{_short(measure.low)}, {_short(measure.high)}]"
    return doc.Cell(_short(measure.value), ends)


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _repeats(measures: analysis.RepeatMeasures, n_failed: int) -> dict[str, analysis.Accuracy]:
    shown = {f"avg@{measures.k}": measures.average}
    shown |= {f"pass@{j}": estimate for j, estimate in measures.pass_at.items() if j > 1}
    shown[f"majority@{measures.k}"] = measures.majority
    return {title: analysis.Accuracy(estimate, n_failed) for title, estimate in shown.items()}
