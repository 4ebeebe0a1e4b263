"""Policies that are models behind an endpoint: the orchestrator, which may have several replicas, and an expert."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

import msgspec

from maestro_eval.models import ExpertClient, ModelAsk
from maestro_eval.policies.base import Policy, prompt_read, texts
from maestro_eval.records import Completion, Endpoint, Message, RolloutFailure, RolloutKey, Sampling, UserError
from maestro_eval.registry import Expert, Registry
from maestro_eval.skills import ask_model
from maestro_eval.text import neutralise, spoken, visible

_COOL_DOWN_S = 30.0


class EndpointPolicy:
    """The orchestrator behind any OpenAI-compatible endpoint, which gets the messages unchanged.

    ``token_ids`` requests the token ids of prompt and reply too, which vLLM's server returns.
    """

    def __init__(self, client: ExpertClient, endpoint: Endpoint, model: str, *, token_ids: bool = False) -> None:
        self._token_ids = token_ids
        self._client = client
        self._endpoint = endpoint
        self.model = model

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        ask = ModelAsk(
            kind="policy",
            name="policy",
            model=self.model,
            endpoint=self._endpoint,
            messages=tuple(messages),
            sampling=sampling,
            token_ids=self._token_ids,
        )
        call = await self._client.call(ask)
        if call.error:
            raise RolloutFailure.of_call("policy", call, recorded=False)
        return Completion(
            call.reply,
            call.finish_reason,
            call.usage,
            tokens=call.ids.sampled if call.ids else None,
            reasoning=call.reasoning,
            prompt=prompt_read(call.ids.prompt, messages) if call.ids else None,
        )


class DirectPolicy:
    """No orchestration: one expert gets the question itself, and its whole reply is the answer."""

    def __init__(self, client: ExpertClient, registry: Registry, expert: Expert) -> None:
        self._client = client
        self._registry = registry
        self._expert = expert
        self.model = expert.model

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        question = "\n".join(texts(messages, "question"))
        images = [image for message in messages for image in message.images]
        call = await ask_model(self._client, self._registry, self._expert, question, images, deadline=None)
        if call.error:
            raise RolloutFailure.of_call("expert", call, name=self._expert.name, recorded=False)
        # A thought is no answer, not even an unfinished one; an end tag in the reply would cut ours.
        reply = neutralise(visible(spoken(call.reply).text).strip())
        return Completion(f"<answer> {reply} </answer>", call.finish_reason, call.usage, (call,))


class ReplicaPolicy:
    """Several equivalent policies as one. ``first`` (any number) chooses the preferred one among equals.

    A replica caches the prefix of a conversation and its encoded images, so a rollout's later turns are cheap there and
    would cost any other replica the whole prompt. A rollout goes to the replica with the fewest turns in flight at its
    first turn, and stays there.

    If the replica's endpoint fails, the turn is sent once more, to the next best replica, and the rollout stays there.
    For ``_COOL_DOWN_S`` the failed replica gets turns only if all have failed. Otherwise a dead replica, which fails at
    once and so never has many turns in flight, would attract every rollout. A refusal of the request is an answer, and
    is not sent elsewhere.

    Without a rollout, each turn goes to the replica with the fewest turns in flight.
    """

    def __init__(
        self, replicas: Sequence[Policy], *, first: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not replicas:
            raise ValueError("no replicas")
        shift = first % len(replicas)
        self._replicas = [_Replica(policy) for policy in (*replicas[shift:], *replicas[:shift])]
        self._clock = clock
        models = list(dict.fromkeys(replica.policy.model for replica in self._replicas))
        if len(models) > 1:
            raise UserError(f"--policy: its replicas serve different models ({', '.join(models)}); choose one: …#MODEL")
        self.model = models[0]

    def rollout(self, key: RolloutKey) -> AbstractAsyncContextManager[Policy]:
        """Return a policy for the turns of one rollout, which stay with a replica while it works."""
        return nullcontext(_Turns(self))

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        return await _Turns(self).generate(messages, sampling)

    async def ask(self, replica: _Replica, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Ask a replica, and record whether its endpoint failed."""
        replica.in_flight += 1
        try:
            completion = await replica.policy.generate(messages, sampling)
        except RolloutFailure as failure:
            if not _is_refusal(failure):
                replica.failed_at = self._clock()
            raise
        finally:
            replica.in_flight -= 1
        replica.failed_at = None
        return completion

    def least_loaded(self, without: _Replica | None = None) -> _Replica:
        """Return the next replica to ask: one that has not just failed if possible; not ``without`` if others exist."""
        others = [replica for replica in self._replicas if replica is not without] or self._replicas
        chosen = min(others, key=lambda replica: (self.is_cooling_down(replica), replica.in_flight, replica.given))
        chosen.given += 1
        return chosen

    def is_cooling_down(self, replica: _Replica) -> bool:
        """Return whether the replica failed less than ``_COOL_DOWN_S`` ago."""
        return replica.failed_at is not None and self._clock() - replica.failed_at < _COOL_DOWN_S


class _Turns:
    """The turns of one rollout, sent to its home replica."""

    def __init__(self, replicas: ReplicaPolicy) -> None:
        self._replicas = replicas
        self._home: _Replica | None = None
        self.model = replicas.model

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        home = self._home
        if home is None or self._replicas.is_cooling_down(home):
            home = self._home = self._replicas.least_loaded()
        try:
            return await self._replicas.ask(home, messages, sampling)
        except RolloutFailure as failure:
            other = self._replicas.least_loaded(without=home)
            if _is_refusal(failure) or other is home:
                raise
            self._home = other
            try:
                completion = await self._replicas.ask(other, messages, sampling)
            except RolloutFailure as second:
                second.calls = (*failure.calls, *second.calls)
                raise second from failure
            return msgspec.structs.replace(completion, calls=(*failure.calls, *completion.calls))


def _is_refusal(failure: RolloutFailure) -> bool:
    """Return whether the endpoint works and refused the request; 408 and 429 mean that it is overloaded."""
    status = failure.fault.status if failure.fault is not None else None
    return status is not None and 400 <= status < 500 and status not in (408, 429)


@dataclass(slots=True, eq=False)
class _Replica:
    policy: Policy
    in_flight: int = 0
    given: int = 0
    failed_at: float | None = None
