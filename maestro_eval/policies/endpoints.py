"""Policies that are models behind an endpoint: the orchestrator, and the direct baseline."""

from __future__ import annotations

from collections.abc import Sequence

from maestro_eval.models import Endpoint, ExpertClient, ModelAsk
from maestro_eval.policies.base import texts
from maestro_eval.policies.stream import prompt_read
from maestro_eval.records import Completion, ImagePart, Message, RolloutFailure, Sampling
from maestro_eval.registry import Expert, Registry
from maestro_eval.skills import ask_model
from maestro_eval.text import neutralise, spoken, visible


class EndpointPolicy:
    """The orchestrator: any OpenAI-compatible endpoint, asked with the messages as they are.

    ``token_ids``: it is asked for the ids of prompt and reply too, which vLLM's server gives.
    """

    def __init__(self, client: ExpertClient, endpoint: Endpoint, model: str, *, token_ids: bool = False) -> None:
        self._token_ids = token_ids
        self._client = client
        self._endpoint = endpoint
        self._model = model

    @property
    def model(self) -> str:
        return self._model

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        ask = ModelAsk(
            kind="policy",
            name="policy",
            model=self._model,
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
    """No orchestration: one expert is asked the question itself, and its whole reply is the answer."""

    def __init__(self, client: ExpertClient, registry: Registry, expert: Expert) -> None:
        self._client = client
        self._registry = registry
        self._expert = expert

    @property
    def model(self) -> str:
        return self._expert.model

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        question = "\n".join(texts(messages, "question"))
        images = [part.image for message in messages for part in message.parts if isinstance(part, ImagePart)]
        call = await ask_model(self._client, self._registry, self._expert, question, images, deadline=None)
        if call.error:
            raise RolloutFailure.of_call("expert", call, name=self._expert.name, recorded=False)
        # A thought is not an answer, nor is one that was cut; an end tag in the reply would cut ours.
        reply = neutralise(visible(spoken(call.reply).text).strip())
        return Completion(f"<answer> {reply} </answer>", call.finish_reason, call.usage, (call,))
