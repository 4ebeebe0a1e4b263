"""What the tests on a real engine agree on, and how they run a policy and compare what came of it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from integration.conftest import command, environment

from maestro_eval.journal import Journal
from maestro_eval.records import Failed, Rollout

# On two idle cores an engine starts in a minute; on busy ones in several.
START_S = 900
SAMPLES = 12
IMAGES = 4
CONTEXT = 4096
DTYPE = "float32"
# Turns of the protocol, short enough for a model that says noise: a call of the registry's one expert, or an answer.
SEARCH = r"<search> oracle@@Ask: [a-z]{2,8}( [a-z]{2,8}){0,2} </search>"
TURN = SEARCH + r"|<answer> [a-z0-9]{1,6} </answer>"


@dataclass(frozen=True)
class Server:
    """A running server: ``url`` ends in ``/v1``."""

    url: str


def run_cli(world: Path, policy: str, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """``maestro-eval run`` of ``world``."""
    arguments = command(
        "run", "--policy", policy, "--registry", world / "r.yaml", "--tasks", "maestro_chartqa",
        "--data", f"maestro_chartqa={world / 'data' / 'chartqa.jsonl'}", "--concurrency", "6", "--out", out, *more,
    )  # fmt: skip
    return subprocess.run(
        arguments, cwd=world, env=environment(), capture_output=True, text=True, timeout=START_S, check=False
    )


def rollouts_of(folder: Path) -> list[Rollout]:
    with Journal.open(folder, read_only=True) as journal:
        return [rollout for rollout, _ in journal.rollouts()]


def flips(one: Sequence[Rollout], other: Sequence[Rollout]) -> float:
    """The share of rollouts whose records differ, where they ran apart.

    Of a failed one only the cause counts: a server's refusal is a call on record, an engine's is none. What an engine
    in the worker says of the prompt that it read, a server is asked for in the released style only.
    """

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(item) for key, item in value.items() if key not in ("timing", "worker", "prompt")}
        return [bare(item) for item in value] if isinstance(value, list | tuple) else value

    def said(rollout: Rollout) -> Any:
        outcome = rollout.outcome
        return (rollout.key, outcome.cause) if isinstance(outcome, Failed) else bare(msgspec.to_builtins(rollout))

    pairs = list(zip(one, other, strict=True))
    return sum(said(a) != said(b) for a, b in pairs) / len(pairs)
