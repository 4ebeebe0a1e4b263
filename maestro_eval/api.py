"""The Python interface: evaluate, open a run folder, read its rollouts, score and compare runs."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from maestro_eval.analysis import Comparison, Estimate, with_distinct_names
from maestro_eval.analysis import compare as compare_scores
from maestro_eval.journal import Journal, JournalCounts
from maestro_eval.policies import POLICIES
from maestro_eval.records import (
    ContrastSpec,
    Failed,
    MaestroError,
    Rollout,
    RunManifest,
    UserError,
)
from maestro_eval.registry import Registry, load_registry
from maestro_eval.runtime import HOOKS, Hook, RunConfig, RunOutcome, Watcher, start_run, stop_run
from maestro_eval.scoring import RunScores, score_rollout, score_run
from maestro_eval.tasks import trust

if TYPE_CHECKING:
    import pandas


_Kind = Literal["expert", "service", "policy"]
_Model = tuple[_Kind, str]


class CallCounts(Struct, frozen=True):
    """The calls of one model in a run; ``cached`` of them cost no request, ``failed`` got no reply."""

    kind: _Kind
    name: str
    calls: int
    cached: int
    failed: int

    @property
    def cached_share(self) -> float:
        """The share of the calls that came from the cache, 0 to 1."""
        return self.cached / self.calls


class Run:
    """A run folder, read only: its manifest, its rollouts, its scores. Get one from ``open_run``."""

    def __init__(self, folder: Path, manifest: RunManifest) -> None:
        self.folder = folder
        self.manifest = manifest

    def __repr__(self) -> str:
        planned = sum(task.planned for task in self.manifest.tasks)
        return f"Run({str(self.folder)!r}, {self.manifest.system!r}, n={planned})"

    def counts(self) -> JournalCounts:
        """Count the planned, answered, exhausted and failed rollouts."""
        with Journal.open(self.folder, read_only=True) as journal:
            return journal.counts()

    def samples(self) -> dict[str, int]:
        """Count the planned samples of each task, without those that an early stop spared."""
        with Journal.open(self.folder, read_only=True) as journal:
            return {task.name: len({key.sample_id for key in journal.plan(task.name)}) for task in self.manifest.tasks}

    def calls(self) -> list[CallCounts]:
        """Count the expert and service calls of all current rollouts, by model, most calls first."""
        calls, cached, failed = Counter[_Model](), Counter[_Model](), Counter[_Model]()
        with Journal.open(self.folder, read_only=True) as journal:
            for rollout, _ in journal.rollouts():
                for call in rollout.calls:
                    model = (call.kind, call.name)
                    calls[model] += 1
                    cached[model] += call.cached
                    failed[model] += bool(call.error)
        counts = [CallCounts(*model, number, cached[model], failed[model]) for model, number in calls.items()]
        return sorted(counts, key=lambda count: (-count.calls, count.kind, count.name))

    def scores(self, protocol: str = "official") -> RunScores:
        """Return a score for every planned rollout, computed from the journal."""
        return score_run(self.folder, protocol)

    def rollouts(self, protocol: str = "official") -> pandas.DataFrame:
        """Return one row per rollout, in key order; the index is (task, sample_id, repeat).

        Columns: outcome, answer, score (NaN if it failed, or could not be judged), question, targets, category,
        searches (calls made, as ``EXPERT@@SKILL``), turns, prompt_tokens, completion_tokens, elapsed_s, cause, detail.
        """
        made = _pandas().DataFrame
        tasks = {task.name: task for task in self.manifest.tasks}
        rows: list[dict[str, Any]] = []
        with Journal.open(self.folder, read_only=True) as journal:
            for rollout, sample in journal.rollouts():
                score = score_rollout(sample, rollout, tasks[rollout.key.task], protocol)
                facts = {"question": sample.question, "targets": sample.targets, "category": sample.category}
                row = _row(rollout)
                if score.value is None and row["detail"] is None:
                    row["detail"] = score.note
                rows.append({**row, "score": score.value, **facts})
        frame: pandas.DataFrame = made(rows)
        return frame.set_index(["task", "sample_id", "repeat"]) if rows else frame


def open_run(path: str | Path, *, include: Iterable[str | Path] = ()) -> Run:
    """Open the folder of a run, finished or in progress. UserError if there is none.

    ``include`` are folders of task files whose own code is trusted to judge from now on, as in ``RunConfig``.

    >>> list(open_run(folder / "random").rollouts().columns)[:3]
    ['outcome', 'answer', 'searches']
    """
    folder = Path(path)
    trust(map(Path, include))
    with Journal.open(folder, read_only=True) as journal:
        return Run(folder, journal.manifest)


def evaluate(
    *,
    policy: str | Callable[..., object],
    registry: str | Path | Registry,
    tasks: Sequence[str],
    out: str | Path,
    data: Mapping[str, str | Path] | None = None,
    name: str = "",
    config: RunConfig | None = None,
    hooks: Sequence[Hook] | Hook = (),
) -> Run:
    """Run ``policy`` with ``registry`` on ``tasks`` into the new folder ``out``, and open it.

    ``policy`` is a ``--policy`` argument, or a class or function that makes a policy; ``registry`` a name, a file or a
    loaded registry; ``data`` maps tasks to local data; ``name`` is the system's name in tables. ``config`` has
    everything else; the other parameters override it. ``hooks`` (or one) are called during the run. Inside a running
    event loop (a notebook) the run has a loop and a thread of its own, and Ctrl-C ends it in order.

    Raises UserError for bad input, and MaestroError for a run that was ended because it stalled or was hopeless: its
    folder can be resumed.

    >>> run = evaluate(policy="random", registry="embedded", tasks=["maestro_mini_chartqa"], out=folder / "random",
    ...                data=data, config=RunConfig(selection=Selection(limit=2)))
    >>> run.counts().planned
    2
    """
    chosen, called = _config(policy, registry, tasks, data, name, config), _hooks(hooks)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _opened(_start(chosen, out, called))
    thread, done = _in_thread(lambda: _start(chosen, out, called))
    try:
        return _opened(done.result())
    except KeyboardInterrupt:
        stop_run(thread)
        return _opened(done.result())


async def evaluate_async(
    *,
    policy: str | Callable[..., object],
    registry: str | Path | Registry,
    tasks: Sequence[str],
    out: str | Path,
    data: Mapping[str, str | Path] | None = None,
    name: str = "",
    config: RunConfig | None = None,
    hooks: Sequence[Hook] | Hook = (),
) -> Run:
    """Run `evaluate` beside other tasks of this event loop; cancelling it ends the run in order, resumable.

    >>> async def both():
    ...     shared = dict(registry="embedded", tasks=["maestro_mini_chartqa"], data=data,
    ...                   config=RunConfig(selection=Selection(limit=1)))
    ...     return await asyncio.gather(
    ...         evaluate_async(policy="random", out=folder / "a", **shared),
    ...         evaluate_async(policy="router", out=folder / "b", **shared))
    >>> [run.counts().missing for run in asyncio.run(both())]
    [0, 0]
    """
    chosen, called = _config(policy, registry, tasks, data, name, config), _hooks(hooks)
    thread, done = _in_thread(lambda: _start(chosen, out, called))
    waiting = asyncio.wrap_future(done)
    try:
        return _opened(await asyncio.shield(waiting))
    except asyncio.CancelledError:
        stop_run(thread)
        await asyncio.wait({waiting})
        thread.join()
        raise


def score(run: Run | str | Path, protocol: str = "official") -> RunScores:
    """Judge every rollout of a run by a scoring protocol: official, released, fair or strict. Calls no model.

    >>> score(folder / "random", "fair").protocol
    'fair'
    """
    return score_run(_folder(run), protocol)


def compare(
    *runs: Run | str | Path | Sequence[Run | str | Path],
    baseline: str = "",
    protocol: str = "official",
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Comparison:
    """Compare runs: accuracies with intervals, group means, and each system's paired difference from the baseline.

    Runs are given one by one or as a list.
    ``baseline`` is a system's name, by default that of the first run. ``groups`` are sets of tasks, each with a mean.
    UserError, naming what differs, if the runs cannot be compared.

    >>> found = compare(folder / "a", folder / "b")
    >>> [contrast.verdict for contrast in found.contrasts]
    ['undecided']
    """
    given: list[Run | str | Path] = []
    for each in runs:
        given.extend([each] if isinstance(each, Run | str | Path) or not isinstance(each, Iterable) else each)
    if not given:
        raise UserError("compare() needs a run, better two")
    scores = with_distinct_names([score(run, protocol) for run in given])
    names = [each.manifest.system for each in scores]
    chosen = baseline or names[0]
    if chosen not in names:
        raise UserError(f"baseline={chosen!r}: no such system; there are {', '.join(names)}")
    return compare_scores(scores, [ContrastSpec(name, chosen) for name in names if name != chosen], groups=groups)


def accuracies(comparison: Comparison) -> pandas.DataFrame:
    """Return one row per system and scope (a task or a group's mean): accuracy, low and high (0 to 1), n.

    >>> accuracies(compare(folder / "a", folder / "b")).n.to_list()
    [1, 1]
    """
    return _frame(
        {"system": system.name, "scope": scope, **_interval("accuracy", found.accuracy)}
        for system in comparison.systems
        for scope, found in system.scopes.items()
    )


def differences(comparison: Comparison) -> pandas.DataFrame:
    """Return a row per contrast and scope: difference from baseline, low and high (-1 to 1), n, adjusted p, verdict."""
    return _frame(
        {
            "system": contrast.system,
            "baseline": contrast.baseline,
            "scope": contrast.scope,
            **_interval("difference", contrast.difference),
            "p_adjusted": contrast.p_adjusted,
            "verdict": contrast.verdict,
        }
        for contrast in comparison.contrasts
    )


def _interval(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _frame(rows: Iterable[dict[str, Any]]) -> pandas.DataFrame:
    frame: pandas.DataFrame = _pandas().DataFrame(list(rows))
    return frame.set_index([name for name in ("system", "baseline", "scope") if name in frame])


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise UserError("data frames need pandas: pip install 'maestro-eval[report]'") from error
    return pandas


def _config(
    policy: str | Callable[..., object],
    registry: str | Path | Registry,
    tasks: Sequence[str],
    data: Mapping[str, str | Path] | None,
    name: str,
    config: RunConfig | None,
) -> RunConfig:
    config = config or RunConfig()
    if not isinstance(policy, str) and not hasattr(policy, "__qualname__"):
        raise UserError(
            f"policy={policy!r}: expected a --policy argument, or a class or function that makes a policy (no "
            "instance, since each worker makes its own)"
        )
    here = not isinstance(policy, str) and (policy.__module__ == "__main__" or "<locals>" in policy.__qualname__)
    if not isinstance(policy, str) and config.executor == "ray" and here:
        raise UserError(
            f"policy={policy.__qualname__}: is defined in a script, notebook or function, where Ray's workers cannot "
            "import it; put it into a module, or use executor='local'"
        )
    return msgspec.structs.replace(
        config,
        policy=policy if isinstance(policy, str) else POLICIES.add(policy),
        registry=str(_registry_file(registry) if isinstance(registry, Registry) else registry),
        tasks=tasks,
        data={**config.data, **{task: str(path) for task, path in (data or {}).items()}},
        system=name or config.system,
    )


def _registry_file(registry: Registry) -> Path:
    """Return the file that workers load. UserError if the object differs from it: the difference would be ignored."""
    if load_registry(registry.path).hash != registry.hash:
        raise UserError(
            f"registry={registry.name}: differs from {registry.path}, which is what would run; load it again, and give "
            "RunConfig(variant=…) for a variant of it"
        )
    return Path(registry.path)


def _hooks(given: Sequence[Hook] | Hook) -> list[Hook]:
    """Return the hooks. UserError for an object that ``--hook`` refuses too."""
    each_of = given if isinstance(given, Iterable) else [given]
    return [HOOKS.accept(f"hooks: {each!r}", each)() for each in each_of]


def _start(config: RunConfig, out: str | Path, hooks: Sequence[Hook]) -> RunOutcome:
    watcher = Watcher()
    watcher.hooks = hooks
    return start_run(config, Path(out), watcher=watcher)


def _folder(run: Run | str | Path) -> Path:
    if not isinstance(run, Run | str | Path):
        raise UserError(f"{run!r}: expected a Run, or the path of a run folder")
    return run.folder if isinstance(run, Run) else Path(run)


def _opened(outcome: RunOutcome) -> Run:
    if outcome.given_up:
        raise MaestroError(outcome.given_up)
    return open_run(outcome.folder)


def _in_thread(start: Callable[[], RunOutcome]) -> tuple[threading.Thread, Future[RunOutcome]]:
    """Start a run in a thread with an event loop of its own; `stop_run` ends it in order."""
    done: Future[RunOutcome] = Future()

    def work() -> None:
        try:
            done.set_result(start())
        except BaseException as error:  # it is the caller's, whatever it is
            done.set_exception(error)

    thread = threading.Thread(target=work, name="run", daemon=True)
    thread.start()
    return thread, done


def _row(rollout: Rollout) -> dict[str, Any]:
    outcome = rollout.outcome
    return {
        "task": rollout.key.task,
        "sample_id": rollout.key.sample_id,
        "repeat": rollout.key.repeat,
        "outcome": outcome.word,
        "answer": rollout.answer,
        "searches": tuple(search.pair for search in rollout.searches),
        "turns": len(rollout.turns),
        "prompt_tokens": rollout.usage.prompt_tokens,
        "completion_tokens": rollout.usage.completion_tokens,
        "elapsed_s": rollout.timing.elapsed_s,
        "cause": outcome.cause if isinstance(outcome, Failed) else None,
        "detail": outcome.detail if isinstance(outcome, Failed) else None,
    }
