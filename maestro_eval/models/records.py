"""What the client is asked: which endpoint, which model, which messages."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from maestro_eval.records import Message, Sampling

TokenLimit = Literal["max_tokens", "max_completion_tokens"]
"""The two names under which endpoints take the limit of a reply."""


PictureForm = Literal["file", "uuid", "bytes"]
"""How pictures are sent: the path of a file, a name for what the engine has, the picture itself."""


class Endpoint(Struct, frozen=True):
    """Where models are served: ``url`` is what precedes ``/chat/completions``.

    kind: what serves there, as far as that can change a reply: ``""`` for a model server, which gives what its
        model gives, else the name of the program.
    api_key_env: the environment variable that holds the key, ``""`` for none. The key itself is never kept.
    concurrency: requests in flight there at once, unless the client is told its part of them (``ExpertClient.allow``).
    timeout_s: how long one HTTP request may take, time in our own queue not counted.
    max_tries: HTTP requests that one call may cost.
    pictures: how it is sent pictures; ``auto`` finds out.
    token_limit: the name under which it takes the limit of a reply; ``auto`` changes it where a model refuses it.
    """

    name: str
    url: str
    api_key_env: str = ""
    concurrency: int = 32
    timeout_s: float = 120.0
    max_tries: int = 4
    kind: str = ""
    token_limit: TokenLimit | Literal["auto"] = "auto"
    pictures: PictureForm | Literal["auto"] = "auto"


class ModelAsk(Struct, frozen=True):
    """One question to one model.

    ``name`` is the registry's entry, ``model`` the name at the endpoint, ``revision`` the model's own where the
    registry knows it (it is not sent; the call cache tells models by it). ``reuse`` lets the call cache keep a reply
    that would not be the same again. ``token_ids`` asks for the ids of prompt and reply too (vLLM's
    ``return_token_ids``).
    """

    kind: Literal["expert", "service", "policy"]
    name: str
    model: str
    endpoint: Endpoint
    messages: tuple[Message, ...]
    sampling: Sampling
    revision: str = ""
    reuse: bool = False
    token_ids: bool = False
