"""The address of models."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

TokenLimit = Literal["max_tokens", "max_completion_tokens"]
"""The two names of the request field that limits a reply's length."""

PictureForm = Literal["file", "uuid", "bytes"]
"""How an image is sent: as the path of a file on this node, a UUID for an image that the engine has, or the bytes."""


class Endpoint(Struct, frozen=True):
    """An address of models.

    url: what precedes ``/chat/completions``; empty if the run starts the server itself (``start``).
    start: the bundled program that serves there, as far as that can change a reply; ``""`` for a model server.
    api_key_env: the environment variable with the key, ``""`` for none. The key itself is never stored.
    concurrency: requests in flight there at once, unless the client is assigned a share (``ExpertClient.allow``).
    timeout_s: the timeout of one HTTP request, without the time in our own queue.
    max_tries: HTTP requests that one call may cost.
    gateway: whether several models are meant to be at this address.
    token_limit: the name of the request field that limits a reply; ``auto`` changes it if a model rejects it.
    pictures: how images are sent; ``auto`` finds out.
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
