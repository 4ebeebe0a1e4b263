"""The address of models."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

TokenLimit = Literal["max_tokens", "max_completion_tokens"]
"""The two names under which endpoints take the limit of a reply."""

PictureForm = Literal["file", "uuid", "bytes"]
"""The form of a sent picture: the path of a file on this node, a UUID for what the engine has, or the bytes."""


class Endpoint(Struct, frozen=True):
    """An address of models.

    url: what precedes ``/chat/completions``; empty where the run starts the server itself (``start``).
    start: the program of ours that serves there, as far as that can change a reply; ``""`` for a model server.
    api_key_env: the environment variable that holds the key, ``""`` for none. The key itself is never kept.
    concurrency: requests in flight there at once, unless the client is given its part of them (``ExpertClient.allow``).
    timeout_s: how long one HTTP request may take, time in our own queue not counted.
    max_tries: HTTP requests that one call may cost.
    gateway: whether several models are meant to be at this address.
    token_limit: the name under which it takes the limit of a reply; ``auto`` changes it where a model refuses it.
    pictures: how it is sent pictures; ``auto`` finds out.
    """

    name: str
    url: str = ""
    start: str = ""
    api_key_env: str = ""
    concurrency: int = 32
    timeout_s: float = 120.0
    max_tries: int = 4
    gateway: bool = False
    token_limit: TokenLimit | Literal["auto"] = "auto"
    pictures: PictureForm | Literal["auto"] = "auto"
