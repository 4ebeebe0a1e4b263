"""One orchestrator served several times: all turns of a rollout go to the same replica.

A replica keeps the prefix of a conversation and its encoded images, so a rollout's later turns cost it little and
would cost any other replica the whole. A rollout goes to the replica with the fewest turns in flight when it first
comes, and stays there.

A replica whose endpoint fails is left: the turn is asked once more of the next best one, the rollout stays with that,
and for a while nobody is sent to the failed one while others are there. Without this a dead replica, which fails at
once and so never has much in flight, would draw every rollout to itself. A refusal of the request is an answer,
and is not asked elsewhere.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from maestro_eval.policies.base import Policy
from maestro_eval.records import Completion, Message, RolloutFailure, Sampling, UserError

# Many more than one worker has in flight; what is forgotten costs one prefix.
_REMEMBERED = 65_536
_LEFT_ALONE_S = 30.0


class ReplicaPolicy:
    """Several policies that decide alike, as one. ``first`` (any number) says who is preferred among equals.

    A rollout is known by its seed, which is its own; two rollouts of the same seed share a replica, which does no
    harm. Without a seed each turn goes where the least is in flight.
    """

    def __init__(
        self, replicas: Sequence[Policy], *, first: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not replicas:
            raise ValueError("no replicas")
        shift = first % len(replicas)
        self._replicas = [_Replica(policy) for policy in (*replicas[shift:], *replicas[:shift])]
        self._homes: OrderedDict[int, _Replica] = OrderedDict()
        self._clock = clock
        models = list(dict.fromkeys(replica.policy.model for replica in self._replicas))
        if len(models) > 1:
            raise UserError(f"--policy: its replicas serve different models ({', '.join(models)}); choose one: …#MODEL")
        self._model = models[0]

    @property
    def model(self) -> str:
        return self._model

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        replica = self._home(sampling.seed)
        try:
            return await self._ask(replica, messages, sampling)
        except RolloutFailure as failure:
            if _is_an_answer(failure) or len(self._replicas) == 1:
                raise
            other = self._settle(sampling.seed, self._least_loaded(without=replica))
            try:
                completion = await self._ask(other, messages, sampling)
            except RolloutFailure as second:
                second.calls = (*failure.calls, *second.calls)
                raise second from failure
            return msgspec.structs.replace(completion, calls=(*failure.calls, *completion.calls))

    async def _ask(self, replica: _Replica, messages: Sequence[Message], sampling: Sampling) -> Completion:
        replica.in_flight += 1
        try:
            completion = await replica.policy.generate(messages, sampling)
        except RolloutFailure as failure:
            if not _is_an_answer(failure):
                replica.failed_at = self._clock()
            raise
        finally:
            replica.in_flight -= 1
        replica.failed_at = None
        return completion

    def _home(self, seed: int | None) -> _Replica:
        if seed is None:
            return self._least_loaded()
        # A turn that was dropped is asked again with the next seed: it is the same rollout.
        home = self._homes.get(seed) or self._homes.get(seed - 1)
        if home is None or self._is_left_alone(home):
            home = self._least_loaded()
        return self._settle(seed, home)

    def _settle(self, seed: int | None, home: _Replica) -> _Replica:
        if seed is not None:
            self._homes[seed] = home
            self._homes.move_to_end(seed)
            if len(self._homes) > _REMEMBERED:
                self._homes.popitem(last=False)
        return home

    def _least_loaded(self, without: _Replica | None = None) -> _Replica:
        others = [replica for replica in self._replicas if replica is not without]
        chosen = min(others, key=lambda replica: (self._is_left_alone(replica), replica.in_flight, replica.given))
        chosen.given += 1
        return chosen

    def _is_left_alone(self, replica: _Replica) -> bool:
        return replica.failed_at is not None and self._clock() - replica.failed_at < _LEFT_ALONE_S


def _is_an_answer(failure: RolloutFailure) -> bool:
    """Whether the endpoint is well and meant what it said; 408 and 429 say that it is busy."""
    status = failure.fault.status if failure.fault is not None else None
    return status is not None and 400 <= status < 500 and status not in (408, 429)


@dataclass(slots=True, eq=False)
class _Replica:
    policy: Policy
    in_flight: int = 0
    given: int = 0
    failed_at: float | None = None
