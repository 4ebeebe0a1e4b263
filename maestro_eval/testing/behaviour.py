"""The configuration of the simulated server: its latency and its faults, without HTTP.

Faults depend on the number of a request (from 1, in order of arrival), never on time, so that a test has the same
faults on a slow machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

Rule = Callable[[dict[str, Any]], str]
"""Maps the body of a request to the reply's text; RefusedError refuses the request."""


class RefusedError(Exception):
    """A rule raises this to refuse a request; the server sends a 400 with the message."""


class Latency(Struct, frozen=True):
    """The times of a reply, and the limits on concurrent requests; requests beyond them queue.

    The prefill takes base_s and per_prompt_token_s; each token of the reply takes per_completion_token_s. At most slots
    requests run at once, with at most cache_tokens tokens in all their prompts and replies.
    """

    base_s: float = 0.0
    per_prompt_token_s: float = 0.0
    per_completion_token_s: float = 0.0
    slots: int = 256
    cache_tokens: int = 2**20

    def prefill_s(self, prompt_tokens: int) -> float:
        """Return the seconds until the first token, without queueing."""
        return self.base_s + self.per_prompt_token_s * prompt_tokens

    def decode_s(self, completion_tokens: int) -> float:
        """Return the seconds from the first token to the last."""
        return self.per_completion_token_s * completion_tokens


class Fault(Struct, frozen=True):
    """A fault of one request.

    status: an error of that status, with ``body`` and, if set, ``Retry-After``; a 3xx redirects to itself.
    hang: no answer at all. drip: a good reply, one byte each ``drip_s``.
    cut: the connection ends without a reply. truncated: it ends in the middle of one.
    malformed: a body that is no JSON. empty: no choices. null: ``content`` is null.
    wrong_type: HTML with status 200.
    """

    kind: Literal["status", "hang", "drip", "cut", "truncated", "malformed", "empty", "null", "wrong_type"]
    status: int = 500
    retry_after: str = ""
    body: str = '{"error": {"message": "a simulated fault", "type": "simulated"}}'
    drip_s: float = 0.02


FaultPlan = Callable[[int], Fault | None]
"""Maps the number of a request to its fault."""


def on_requests(faults: Mapping[int, Fault]) -> FaultPlan:
    """Return a plan with these faults, by the numbers of their requests, from 1."""
    return faults.get


def always(fault: Fault) -> FaultPlan:
    """Return a plan with the same fault for every request."""
    return lambda number: fault


def at_random(probability: float, fault: Fault, seed: int) -> FaultPlan:
    """Return a plan with faults of this probability; they depend only on the seed and the request's number."""
    return lambda number: fault if random.Random(f"{seed}:{number}").random() < probability else None
