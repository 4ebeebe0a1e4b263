"""How the simulated server behaves: how long it takes, what goes wrong and when. Pure; no HTTP.

Faults are planned by the number of a request (from 1, in order of arrival), never by time, so that a test
meets the same faults on a slow machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

Rule = Callable[[dict[str, Any]], str]
"""From the body of a request to the reply's text; RefusedError for a request that is not taken."""


class RefusedError(Exception):
    """What a rule raises for a request that it does not take: a 400 with the message."""


class Latency(Struct, frozen=True):
    """Seconds that a reply takes once it is served, and what bounds how many are served at once; the rest queue.

    base_s and per_prompt_token_s pass before the first token (the prefill), per_completion_token_s for each token
    of the reply. slots: requests at once. cache_tokens: tokens of all of them together, prompts and replies.
    """

    base_s: float = 0.0
    per_prompt_token_s: float = 0.0
    per_completion_token_s: float = 0.0
    slots: int = 256
    cache_tokens: int = 2**20

    def prefill_s(self, prompt_tokens: int) -> float:
        """Until the first token, queueing not counted."""
        return self.base_s + self.per_prompt_token_s * prompt_tokens

    def decode_s(self, completion_tokens: int) -> float:
        """From the first token to the last."""
        return self.per_completion_token_s * completion_tokens


class Fault(Struct, frozen=True):
    """What goes wrong with one request.

    status: an error of that status, with ``body`` and, where set, ``Retry-After``; a 3xx points to itself.
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
"""From the number of a request to its fault."""


def on_requests(faults: Mapping[int, Fault]) -> FaultPlan:
    """Faults for these requests, counted from 1."""
    return faults.get


def always(fault: Fault) -> FaultPlan:
    """The same fault for every request."""
    return lambda number: fault


def at_random(probability: float, fault: Fault, seed: int) -> FaultPlan:
    """A fault with this probability; a request's draw depends on the seed and its number alone."""
    return lambda number: fault if random.Random(f"{seed}:{number}").random() < probability else None
