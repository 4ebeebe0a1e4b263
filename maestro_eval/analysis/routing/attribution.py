"""Whose doing it is that a rollout has no right answer: rules on the record, in order, the first that fits.

They say where the answer was lost, as far as one rollout can tell. They cannot say that another expert would have
known: a wrong answer after a wrong reply is the expert's here, also where the policy should have asked another. An
``explore`` run with the oracles, and ``replay``, answer that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from maestro_eval.analysis.routing.behaviour import made_calls
from maestro_eval.analysis.routing.records import SIDES, Blame, Side
from maestro_eval.analysis.scored_rollouts import Episode
from maestro_eval.policies import DirectSpec, read_policy
from maestro_eval.policies.baselines import NO_ANSWER
from maestro_eval.records import Answered, Exhausted, Failed, Rollout, TaskRecord
from maestro_eval.scoring import judge, metric_of

# Replies are judged by the authors' rule whatever the run's protocol: what matters is what was said, not its form.
_PROTOCOL = "official"
_FAULTS: dict[str, Side] = {"policy": "policy", "expert": "expert", "service": "service"}


class Attribution(Struct, frozen=True):
    """The side, and the rule that put it there, in words of a table."""

    side: Side
    rule: str


NEVER_RAN = Attribution("harness", "never ran")


def is_right(episode: Episode) -> bool:
    """Whether there is nothing to attribute: full marks."""
    return episode.score.value is not None and episode.score.value >= 1


def attribute(episode: Episode, task: TaskRecord, policy: str) -> Attribution:
    """Whose doing it is that ``episode`` is not right. ``policy`` is the run's ``--policy`` argument."""
    match episode.rollout.outcome:
        case Failed(cause, _):
            return Attribution(_FAULTS.get(cause, "harness"), f"failed: {cause}")
        case Exhausted() as exhausted:
            return Attribution("policy", f"{exhausted.reason} before an answer")
        case Answered(text):
            return _wrong_answer(episode, text, task, policy)


class BlameTally:
    """Counts attributions by task; rollouts that never ran are among them."""

    def __init__(self, policy: str) -> None:
        self._policy = policy
        self._counts: Counter[tuple[str, Attribution]] = Counter()

    def add(self, episode: Episode, task: TaskRecord) -> None:
        if not is_right(episode):
            self._counts[task.name, attribute(episode, task, self._policy)] += 1

    def blame(self, task: str, never_ran: int) -> Iterator[Blame]:
        """By side, most frequent rule first."""
        found = Counter({each: number for (name, each), number in self._counts.items() if name == task})
        if never_ran:
            found[NEVER_RAN] += never_ran
        for each, number in sorted(found.items(), key=lambda item: (SIDES.index(item[0].side), -item[1], item[0].rule)):
            yield Blame(task, each.side, each.rule, number)


def _wrong_answer(episode: Episode, text: str, task: TaskRecord, policy: str) -> Attribution:
    if episode.score.value is None:
        return Attribution("harness", "the answer could not be judged")
    if not text.strip():
        return Attribution("policy", "empty answer")
    if not episode.score.extracted and not _abstains(text):
        return Attribution("parser", "no answer was read from what was said")
    if isinstance(read_policy(policy), DirectSpec):
        return Attribution("expert", "answered wrong when asked directly")
    if not made_calls(episode.rollout):
        return Attribution("policy", "answered without a call that reached an expert")
    if metric_of(task).runs_code:
        return Attribution("open", "the replies are programs, and are not run here")
    return _after_calls(episode, task)


def _after_calls(episode: Episode, task: TaskRecord) -> Attribution:
    calls = made_calls(episode.rollout)
    if any(_says_it(episode, call.turn.observation, task) for call in calls):
        return Attribution("policy", "an observation held the right answer")
    # The last call of a turn is the one whose reply the skill gives back.
    last = [made.reply for call in calls for made in call.turn.calls[-1:] if made.kind == "expert"]
    if any(_says_it(episode, reply, task) for reply in last):
        return Attribution("harness", "an expert's reply held it, the observation made of it did not")
    if _missing_evidence(episode.rollout):
        return Attribution("service", "no expert supplied it, and evidence was missing")
    if all(_abstains(call.turn.observation or "") for call in calls):
        return Attribution("expert", "every expert asked said that it cannot tell")
    return Attribution("expert", "no expert asked supplied it")


def _says_it(episode: Episode, text: str | None, task: TaskRecord) -> bool:
    """Whether ``text``, had it been the answer, would have been right."""
    if not text:
        return False
    try:
        return (judge(episode.sample, text, metric_of(task), _PROTOCOL).value or 0) >= 1
    except Exception:  # a judge that trips over a reply has not found the answer in it
        return False


def _missing_evidence(rollout: Rollout) -> bool:
    return any(turn.missing for turn in rollout.turns)


def _abstains(text: str) -> bool:
    """Whether ``text`` says that there is no answer, as our baselines and embedded experts say it."""
    return text.strip().casefold().startswith(NO_ANSWER.casefold())
