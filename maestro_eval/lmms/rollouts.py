"""Runs the rollouts for lmms-eval's requests, in a journal from which the same command resumes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from maestro_eval.journal import Journal
from maestro_eval.lmms.requests import RequestBatch
from maestro_eval.policies import ExploreSpec, read_policy
from maestro_eval.progress import make_watcher
from maestro_eval.records import Failed, MaestroError, Rollout, RolloutKey, Sampling, UserError
from maestro_eval.rollout import choose_regime
from maestro_eval.runtime import RunConfig, roll_out
from maestro_eval.sandbox import Isolation


@dataclass(frozen=True, slots=True)
class System:
    """The system under test: the arguments in ``--model_args``."""

    registry: str
    policy: str
    regime: str
    concurrency: int
    cache: str
    seed: int
    sampling: Sampling
    policy_key_env: str
    sandbox: Isolation


def answer(system: System, batch: RequestBatch, folder: Path) -> Mapping[RolloutKey, Rollout]:
    """Return a finished rollout for every key of the batch; those that ``folder`` contains are not run again.

    Raise UserError for bad input or a folder with another run, and MaestroError if rollouts failed.
    """
    if isinstance(read_policy(system.policy), ExploreSpec):
        raise UserError(f"policy={system.policy}: is many systems in one; run it with `maestro-eval run`")
    request = RunConfig(
        policy=system.policy,
        registry=system.registry,
        tasks=tuple(batch.tasks),
        repeats=batch.repeats,
        seed=system.seed,
        sampling=system.sampling,
        regime=choose_regime(system.regime, []),
        concurrency=system.concurrency,
        policy_key_env=system.policy_key_env,
        cache=system.cache,
        sandbox=system.sandbox,
    )
    print(f"maestro: journal {folder}", file=sys.stderr)
    outcome = roll_out(request, folder, list(batch.tasks.values()), batch.keys, watcher=make_watcher(quiet=False))
    if outcome.given_up:
        raise MaestroError(outcome.given_up)
    if outcome.interrupted:
        raise KeyboardInterrupt
    wanted = frozenset(batch.keys)
    with Journal.open(folder, read_only=True) as journal:
        rollouts = {rollout.key: rollout for rollout, _ in journal.rollouts() if rollout.key in wanted}
    _refuse_failures(rollouts, batch, folder)
    return rollouts


def _refuse_failures(rollouts: Mapping[RolloutKey, Rollout], batch: RequestBatch, folder: Path) -> None:
    failures = [rollout.outcome for rollout in rollouts.values() if isinstance(rollout.outcome, Failed)]
    missing = len(frozenset(batch.keys) - rollouts.keys())
    if failures or missing:
        first = f" (the first: {failures[0].cause}: {failures[0].detail})" if failures else ""
        raise MaestroError(
            f"{len(failures) + missing} of {len(frozenset(batch.keys))} rollouts failed{first}; a failure is no "
            f"answer, so nothing is scored. The rest is kept in {folder}: run the same command again to continue"
        )
