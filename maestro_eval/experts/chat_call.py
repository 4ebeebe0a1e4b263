"""One chat completion in the form that its endpoint takes, which is learnt from what the endpoint refuses.

Some models take the limit of a reply as ``max_completion_tokens`` only. Saying the same under another name changes
nothing that is measured, so a call that was refused for it is sent again at once, and later ones begin that way. What
would change the question, a temperature for instance, is never left out by us: the error names the setting instead.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol, TypeVar

from maestro_eval.experts.records import Endpoint, ModelAsk, TokenLimit
from maestro_eval.experts.transport import EndpointError, HttpRequest
from maestro_eval.experts.wire import DataUrls, Reply, decode_models, decode_reply, encode_ask

T = TypeVar("T")


class Conversation(Protocol[T]):
    """A request that may take several tries: ``build`` makes each, ``decode`` reads a good body.

    ``sort`` is equal for replies that cost about as much time, ``None`` keeps one out of comparisons. ``amend`` is true
    where a fault is to be met by sending it again at once, in another form; that is so a bounded number of times.
    """

    endpoint: Endpoint

    def build(self) -> HttpRequest: ...

    def decode(self, body: bytes) -> T: ...

    def sort(self, value: T) -> Hashable: ...

    def amend(self, fault: EndpointError) -> bool: ...


class Forms:
    """What the calls of one client have learnt of its endpoints, and the pictures that they send."""

    def __init__(self) -> None:
        self.urls = DataUrls()
        self.token_limits: dict[tuple[str, str], TokenLimit] = {}


class ChatCall:
    """A ``Conversation`` that asks a model."""

    def __init__(self, ask: ModelAsk, forms: Forms) -> None:
        self.endpoint = ask.endpoint
        self._ask = ask
        self._forms = forms
        self._limit: TokenLimit = "max_tokens"

    def build(self) -> HttpRequest:
        named = self.endpoint.token_limit
        self._limit = self._forms.token_limits.get(self._learner, "max_tokens") if named == "auto" else named
        return HttpRequest("/chat/completions", encode_ask(self._ask, self._forms.urls.url, self._limit))

    def decode(self, body: bytes) -> Reply:
        return decode_reply(body)

    def sort(self, value: Reply) -> Hashable:
        return self._ask.kind, self._ask.name, value.usage.completion_tokens.bit_length()

    def amend(self, fault: EndpointError) -> bool:
        if self._limit != fault.parameter or self.endpoint.token_limit != "auto":
            return False
        self._forms.token_limits[self._learner] = "max_completion_tokens"
        return self._ask.sampling.max_tokens is not None

    @property
    def _learner(self) -> tuple[str, str]:
        return self.endpoint.url, self._ask.model


class ModelList:
    """A ``Conversation`` that asks which models are served."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def build(self) -> HttpRequest:
        return HttpRequest("/models")

    def decode(self, body: bytes) -> list[str]:
        return decode_models(body)

    def sort(self, value: list[str]) -> Hashable:
        return None

    def amend(self, fault: EndpointError) -> bool:
        return False
