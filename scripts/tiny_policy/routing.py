"""Reports on a policy's run over the mini benchmarks: its first calls, and whether it repeats the answers it received.

    python -m scripts.tiny_policy.routing RUN [BASELINE]

Both come from the run's records. The right pair is that of ``ROUTES``; a repeated answer equals, word for word, the
line ``Answer: X`` at the end of the last observation.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from maestro_eval.analysis import Estimate, difference_interval, independent, wilson
from maestro_eval.journal import Journal
from maestro_eval.records import Answered, Rollout
from scripts.tiny_policy.lessons import ROUTES


class Routing(Struct, frozen=True):
    """Per rollout, in the plan's order: whether the first call was to the right pair, or at least the right expert;
    and for those that received an answer, whether they repeated it."""

    pairs: list[bool]
    experts: list[bool]
    repeated: list[bool]


def routing_of(rollouts: Sequence[Rollout]) -> Routing:
    """Return the routing of these rollouts, failed ones included."""
    experts, pairs, repeated = [], [], []
    for rollout in rollouts:
        route = ROUTES[rollout.key.task]
        first = rollout.turns[0].resolution if rollout.turns else None
        experts.append(first is not None and first.expert == route.expert)
        pairs.append(experts[-1] and first is not None and first.skill == route.skill)
        observed = [turn.observation for turn in rollout.turns if turn.observation]
        stated = observed[-1].rpartition("Answer: ")[2] if observed and "\nAnswer: " in observed[-1] else None
        if stated is not None:
            repeated.append(isinstance(rollout.outcome, Answered) and rollout.outcome.text == stated.strip())
    return Routing(pairs, experts, repeated)


def rollouts_of(run: Path) -> list[Rollout]:
    """Return a run's rollouts, in the plan's order."""
    with Journal.open(run, read_only=True) as journal:
        return [rollout for rollout, _sample in journal.rollouts()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("baseline", type=Path, nargs="?")
    arguments = parser.parse_args()
    found = routing_of(rollouts_of(arguments.run))
    print(f"first call to the right expert and skill  {_percent(wilson(sum(found.pairs), len(found.pairs)))}")
    print(f"first call to the right expert            {_percent(wilson(sum(found.experts), len(found.experts)))}")
    if found.repeated:
        print(f"answer as stated by the expert            {_percent(wilson(sum(found.repeated), len(found.repeated)))}")
    if arguments.baseline:
        other = routing_of(rollouts_of(arguments.baseline))
        difference = difference_interval(independent([found.experts]), independent([other.experts]))
        print(f"right expert, above the baseline          {_percent(difference)}")


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}] (n = {estimate.n})"


if __name__ == "__main__":
    main()
