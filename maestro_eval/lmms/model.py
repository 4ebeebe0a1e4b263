"""The model ``maestro`` of lmms-eval: it answers each request with a rollout.

lmms-eval has no failed replies: if a rollout fails, the evaluation ends with one line, and the same command continues
where it stopped. An exhausted rollout answers with an empty text, because the policy ran out of turns. The task's
``generation_kwargs`` are for single models and are ignored: a regime has its own sampling, and the
``until: ["\\n\\n"]`` that lmms-eval adds would cut a policy's reasoning.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from lmms_eval.api.instance import GenerationResult, TokenCounts
from lmms_eval.api.model import lmms

from maestro_eval.lmms.requests import read_requests
from maestro_eval.lmms.rollouts import System, answer
from maestro_eval.records import Answered, Rollout, Sampling, UserError

_SHARED = "maestro_journal"


class Maestro(lmms):  # type: ignore[misc]
    """``--model maestro --model_args registry=…,policy=…``; see docs/lmms.md for the further arguments."""

    is_simple = False

    def __init__(
        self,
        registry: str = "",
        policy: str = "",
        regime: str = "default",
        concurrency: int = 16,
        out: str = "",
        cache: str = "",
        seed: int = 0,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        policy_key_env: str = "",
        sandbox: str = "bubblewrap",
        batch_size: object = None,
        max_batch_size: object = None,
        device: object = None,
        **unknown: object,
    ) -> None:
        """lmms-eval passes ``batch_size``, ``max_batch_size`` and ``device``; they are ignored."""
        super().__init__()
        if unknown:
            raise UserError(f"--model_args {', '.join(unknown)}: no such argument of the model maestro")
        for name, value in {"registry": registry, "policy": policy}.items():
            if not value:
                raise UserError(f"--model_args {name}=… is missing")
        self._system = System(
            registry=str(registry),
            policy=str(policy),
            regime=str(regime),
            concurrency=int(concurrency),
            cache=str(cache),
            seed=int(seed),
            sampling=Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens),
            policy_key_env=str(policy_key_env),
            sandbox="process" if sandbox == "process" else "bubblewrap",
        )
        self._out = str(out)

    def generate_until(self, requests: Sequence[Any]) -> list[Any]:
        """Return the answers in the order of the requests. Raise MaestroError if a rollout failed."""
        if self.world_size > 1:
            raise UserError("the model maestro runs in one process; raise concurrency instead of starting several")
        batch = read_requests(requests)
        root = Path(self._out) if self._out else Path(batch.output_path or ".") / _SHARED
        rollouts = answer(self._system, batch, root / batch.name)
        return [_reply(rollouts[key]) for key in batch.keys]

    def loglikelihood(self, requests: Sequence[Any]) -> NoReturn:
        """Raise UserError: an agent's answer has no likelihood."""
        raise UserError("the model maestro answers (generate_until); it has no likelihoods for this task")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> NoReturn:
        """Raise UserError: a rollout has its own turns."""
        raise UserError("the model maestro runs generate_until tasks only; this task has several rounds")


def _reply(rollout: Rollout) -> Any:
    usage = [turn.usage for turn in rollout.turns]
    return GenerationResult(
        text=rollout.outcome.text if isinstance(rollout.outcome, Answered) else "",
        token_counts=TokenCounts(
            input_tokens=sum(one.prompt_tokens for one in usage),
            output_tokens=sum(one.completion_tokens for one in usage),
        ),
    )
