"""Where an orchestrator stands between chance and the best that its registry allows.

Differences on the same samples: the gain over random calls, over the best single model and over the best model of each
benchmark, the gap to the best pair of each benchmark (the dataset oracle), and that to the best pair of each sample.
They are the system minus the row, so that a gap still open is negative. The rows come from an explore run
(``analysis/oracle.py``), restricted to what the system's own registry has; without one, a run of the policy
``random`` with the same registry gives the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from maestro_eval.analysis.compare import compare
from maestro_eval.analysis.comparison import Contrast, ContrastSpec, Group
from maestro_eval.analysis.explored import Explored
from maestro_eval.analysis.oracle import oracle_rows
from maestro_eval.policies import RandomSpec, read_policy
from maestro_eval.records import RunManifest
from maestro_eval.scoring import RowKind, RunScores


class Standing(Struct, frozen=True):
    """A system against each of ``rows``, of ``kinds``; the contrasts are in the order of scopes, then of rows.

    ``arms`` says how many arms of an explore run the rows come from, 0 where they come from none.
    """

    system: str
    rows: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    groups: tuple[Group, ...]
    arms: int = 0
    kinds: tuple[RowKind, ...] = ()

    @property
    def scopes(self) -> tuple[str, ...]:
        """The tasks and means, in order."""
        return tuple(dict.fromkeys(contrast.scope for contrast in self.contrasts))

    def against(self, row: str, scope: str) -> Contrast | None:
        """The difference to ``row`` on ``scope``."""
        return next((each for each in self.contrasts if (each.baseline, each.scope) == (row, scope)), None)


def is_orchestrator(manifest: RunManifest) -> bool:
    """Whether the run's policy chooses whom to call by what it is asked."""
    return not manifest.arms and read_policy(manifest.policy).is_orchestrator


def standing(run: RunScores, explored: Sequence[Explored] = (), others: Iterable[RunScores] = ()) -> Standing | None:
    """Where ``run`` stands by the first of ``explored`` that has all of its registry and shares a task with it.

    Without such, against the first of ``others`` that is random calls of the same registry; ``None`` without either.
    """
    tasks = {task.name for task in run.manifest.tasks}
    for whole in explored:
        part = whole.within(run.manifest.registry)
        if part is not None and tasks & part.tasks.keys() and part.protocol == run.protocol:
            return _standing(run, oracle_rows(part), len(part.arms))
    for other in others:
        same = other.manifest.registry.hash == run.manifest.registry.hash
        is_random = isinstance(read_policy(other.manifest.policy), RandomSpec)
        if is_random and same and tasks & {task.name for task in other.manifest.tasks}:
            return _standing(run, [other])
    return None


def _standing(run: RunScores, rows: Sequence[RunScores], arms: int = 0) -> Standing:
    # Nothing is adjusted: these are measures of one system, not a search for the one that is significant.
    names = [row.manifest.system for row in rows]
    specs = [ContrastSpec(run.manifest.system, name) for name in names]
    found = compare([run, *rows], specs, adjust="none")
    by_scope = sorted(found.contrasts, key=lambda each: _place(found.contrasts, each.scope))
    return Standing(run.manifest.system, tuple(names), tuple(by_scope), found.groups, arms, tuple(r.kind for r in rows))


def _place(contrasts: Sequence[Contrast], scope: str) -> int:
    return next(place for place, contrast in enumerate(contrasts) if contrast.scope == scope)
