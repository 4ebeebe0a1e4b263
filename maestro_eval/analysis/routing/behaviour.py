"""Whom the policy called, and what it did with its turns."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping

from maestro_eval.analysis.routing.records import Conduct, Named, NeverCalled, PairCalls
from maestro_eval.analysis.routing.tally import Tally, normalised
from maestro_eval.analysis.scored_rollouts import Episode, Search, searches
from maestro_eval.records import Failed, MalformedAction, RegistryRecord, Rollout, SearchAction, Turn

_SHOWN = 10


def made_calls(rollout: Rollout) -> list[Search]:
    """The calls that were made: those in the last turn, which nobody could read the reply of, are not."""
    return [search for search in searches(rollout) if not search.turn.skipped]


def said(rollout: Rollout) -> tuple[Turn, ...]:
    """The turns in which the policy said something: not one that was broken off before it did."""
    turns = rollout.turns
    broken = isinstance(rollout.outcome, Failed) and bool(turns) and not turns[-1].text
    return turns[:-1] if broken else turns


class ConductTally:
    """Sums up rollouts as they pass by; memory grows with tasks and pairs, not with rollouts."""

    def __init__(self) -> None:
        self._pairs: Counter[tuple[str, str, str]] = Counter()
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._turns: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._malformed, self._unresolved = Tally(), Tally()
        self._called: set[tuple[str, str]] = set()

    def add(self, episode: Episode) -> None:
        rollout = episode.rollout
        task, counts = rollout.key.task, self._counts[rollout.key.task]
        turns, calls = said(rollout), made_calls(rollout)
        counts["rollouts"] += 1
        self._turns[task][len(turns)] += 1
        for turn in turns:
            counts["said"] += 1
            counts[self._kind(turn)] += 1
        for call in calls:
            counts["calls"] += 1
            self._pairs[task, call.expert, call.skill] += 1
            self._called |= {("expert", call.expert), ("skill", call.skill)}
        self._called.update((made.kind, made.name) for turn in rollout.turns for made in turn.calls)
        repeated, echoed = _redundant(calls)
        counts["repeated"] += repeated
        counts["echoed"] += echoed

    def mix(self, task: str) -> tuple[PairCalls, ...]:
        """The pairs that ``task`` called, most calls first."""
        found = [PairCalls(*key, count) for key, count in self._pairs.items() if key[0] == task]
        return tuple(sorted(found, key=lambda pair: (-pair.calls, pair.expert, pair.skill)))

    def conduct(self, task: str, planned: int) -> Conduct:
        counts = self._counts[task]
        names = ("said", "malformed", "refused", "unresolved", "late", "calls", "repeated", "echoed")
        return Conduct(
            task=task,
            rollouts=counts["rollouts"],
            never_ran=planned - counts["rollouts"],
            turns=dict(sorted(self._turns[task].items())),
            **{name: counts[name] for name in names},
        )

    def malformed(self) -> tuple[Named, ...]:
        """Why turns were malformed or refused, as the policy was told."""
        return self._malformed.most(_SHOWN)

    def unresolved(self) -> tuple[Named, ...]:
        """The pairs, as written, that named what the registry does not have."""
        return self._unresolved.most(_SHOWN)

    def never_called(self, registry: RegistryRecord) -> NeverCalled:
        return NeverCalled(
            experts=self._missing("expert", registry.experts),
            skills=self._missing("skill", dict.fromkeys(registry.skills, "")),
            services=self._missing("service", registry.services),
        )

    def _missing(self, kind: str, entries: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(name for name in entries if (kind, name) not in self._called)

    def _kind(self, turn: Turn) -> str:
        """What the turn adds to; ``plain`` for an answer and for a call that was made."""
        action, found = turn.action, turn.resolution
        if isinstance(action, MalformedAction):
            self._malformed.add(action.reason)
            return "refused" if action.kind == "refused" else "malformed"
        if isinstance(action, SearchAction) and found is not None and None in (found.expert, found.skill):
            self._unresolved.add(f"{action.expert}@@{action.skill}")
            return "unresolved"
        return "late" if turn.skipped else "plain"


def _redundant(calls: list[Search]) -> tuple[int, int]:
    """How many of a rollout's calls repeat an earlier call, and how many others an earlier observation."""
    requests: set[Hashable] = set()
    observations: set[Hashable] = set()
    repeated = echoed = 0
    for call in calls:
        action = call.turn.action
        request = (call.pair, normalised(action.request) if isinstance(action, SearchAction) else "")
        observation = normalised(call.turn.observation or "")
        if request in requests:
            repeated += 1
        elif observation and observation in observations:
            echoed += 1
        requests.add(request)
        observations.add(observation)
    return repeated, echoed
