"""What the rollouts of the augmented run called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from maestro_eval.analysis.scored_rollouts import Search, searches
from maestro_eval.analysis.swap.entries import file_name
from maestro_eval.journal import Journal
from maestro_eval.records import RegistryRecord, Rollout, RolloutKey


class Use(Struct, frozen=True, gc=False):
    """A rollout's calls: how many reached an expert, how many with a new entry, how many with each.

    ``last`` are the new entries of its last call, which is taken to have given the answer.
    """

    calls: int = 0
    new_calls: int = 0
    by_entry: tuple[tuple[str, int], ...] = ()
    last: tuple[str, ...] = ()

    @property
    def touched(self) -> bool:
        return self.new_calls > 0


Uses = Mapping[RolloutKey, Use]
"""The calls of every rollout that stands in a journal."""


def read_uses(folder: Path, registry: RegistryRecord, entries: Collection[str]) -> dict[RolloutKey, Use]:
    """The calls of a run folder's rollouts, ``entries`` being those to look for."""
    with Journal.open(folder, read_only=True) as journal:
        return dict(uses_of((rollout for rollout, _ in journal.rollouts()), registry, entries))


def uses_of(
    rollouts: Iterable[Rollout], registry: RegistryRecord, entries: Collection[str]
) -> Iterator[tuple[RolloutKey, Use]]:
    """Each rollout's key and calls. Most calls are alike, and are one record in memory."""
    wanted = frozenset(entries)
    shared: dict[Use, Use] = {}
    for rollout in rollouts:
        use = _use(rollout, registry, wanted)
        yield rollout.key, shared.setdefault(use, use)


def _use(rollout: Rollout, registry: RegistryRecord, wanted: frozenset[str]) -> Use:
    named = [tuple(sorted(_named(search, registry) & wanted)) for search in searches(rollout)]
    counts = Counter(entry for each in named for entry in each)
    return Use(
        calls=len(named),
        new_calls=sum(map(bool, named)),
        by_entry=tuple(sorted(counts.items())),
        last=named[-1] if named else (),
    )


def _named(search: Search, registry: RegistryRecord) -> set[str]:
    """The entries of a call: its expert, its skill, and the services that were asked for evidence."""
    services = {f"services.{call.name}" for call in search.turn.calls if call.kind == "service"}
    return {f"experts.{file_name(registry, search.expert)}", f"skills.{search.skill}", *services}
