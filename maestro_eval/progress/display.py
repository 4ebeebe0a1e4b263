"""Draws a run on a terminal: a bar, and tables of its endpoints and tasks, as many of them as fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from maestro_eval.progress.facts import Facts, short, span
from maestro_eval.report import MISSING
from maestro_eval.runtime import EndpointState, LiveState
from maestro_eval.text import printable

_QUIET_S = 30.0
_NAME = 28
# Lines that are always drawn: the bar, its caption, tokens, and the heads and blanks of two tables.
_FRAME = 8
_FEWEST = 3


def render(facts: Facts, height: int) -> RenderableType:
    """Draw everything within about ``height`` lines: endpoints first, then tasks with rollouts in flight."""
    state = facts.state
    rows = max(2 * _FEWEST, height - _FRAME)
    endpoints = state.endpoints[: max(_FEWEST, rows // 2)]
    tasks = _under_way(state)[: max(_FEWEST, rows - len(endpoints))]
    # A bar by itself does not end its line.
    bar = Table.grid()
    bar.add_row(ProgressBar(total=max(1, state.planned), completed=state.done + state.failed))
    parts: list[RenderableType] = [Text(printable(facts.name), style="bold"), bar, *_captions(facts)]
    quiet = _quiet(facts)
    if quiet is not None:
        parts.append(quiet)
    if endpoints:
        parts += ["", _endpoint_table(endpoints, len(state.endpoints) - len(endpoints))]
    if tasks:
        parts += ["", _task_table(facts, tasks)]
    return Group(*parts)


def _captions(facts: Facts) -> Iterator[Text]:
    state = facts.state
    text = Text(f"{state.done:,}/{state.planned:,} done", no_wrap=True, overflow="ellipsis")
    if state.failed:
        text.append(" · ")
        text.append(f"{state.failed:,} failed", style="red")
    text.append(f" · {len(state.executor.out):,} in flight")
    if facts.pace.rollouts is not None:
        text.append(f" · {short(facts.pace.rollouts)}/s")
    text.append(f" · {span(facts.elapsed_s)}")
    if facts.left_s:
        text.append(f", {span(facts.left_s)} left")
    if state.stopping:
        text.append(" · stopping", style="yellow")
    yield text
    tokens, pace = state.tokens, facts.pace
    if tokens.prompt_tokens + tokens.completion_tokens:
        text = Text(f"tokens {short(tokens.prompt_tokens)} read, {short(tokens.completion_tokens)} written")
        if pace.prompt_tokens is not None and pace.completion_tokens is not None:
            text.append(f" · {short(pace.prompt_tokens)}/s, {short(pace.completion_tokens)}/s")
        yield text


def _quiet(facts: Facts) -> Text | None:
    """Explain why nothing is being committed; return None if something is."""
    out = facts.state.executor.out
    starting = [worker.name for worker in facts.state.executor.workers if worker.starting]
    if starting:
        return Text(f"starting {len(starting)} workers", style="dim")
    if not out or facts.quiet_s < _QUIET_S:
        return None
    oldest = out[0]
    name = _cut(f"{oldest.key.task}/{oldest.key.sample_id}")
    return Text(
        f"nothing committed for {span(facts.quiet_s)}; longest in flight: {name} on {printable(oldest.worker)}, "
        f"{span(facts.state.at - oldest.since)}",
        style="yellow",
    )


def _endpoint_table(endpoints: Sequence[EndpointState], more: int) -> Table:
    table = _table("endpoint", "in flight", "limit", "waiting", "replies", "errors")
    for endpoint in endpoints:
        places = endpoint.places
        table.add_row(
            _cut(endpoint.name),
            f"{places.in_flight:,}",
            f"{places.limit:,}",
            f"{places.queued:,}",
            f"{places.answered:,}",
            _errors(endpoint.errors),
        )
    if more:
        table.add_row(Text(f"and {more} more", style="dim"))
    return table


def _task_table(facts: Facts, tasks: Sequence[str]) -> Table:
    table = _table("task", "done", "of", "failed", "accuracy so far", "judged")
    for name in tasks:
        task = facts.state.tasks[name]
        running = facts.running.get(name)
        estimate = running.estimate() if running is not None else None
        accuracy = MISSING
        if estimate is not None:
            accuracy = f"{100 * estimate.value:.1f} [{100 * estimate.low:.0f}–{100 * estimate.high:.0f}]"
        table.add_row(
            _cut(name),
            f"{task.done:,}",
            f"{task.planned:,}",
            _errors(task.failed),
            accuracy,
            MISSING if running is None else f"{running.judged:,}",
        )
    more = len(facts.state.tasks) - len(tasks)
    if more:
        table.add_row(Text(f"and {more} more", style="dim"))
    return table


def _under_way(state: LiveState) -> list[str]:
    """Return the tasks: first those with rollouts in flight, last those that are done."""
    flying = {out.key.task for out in state.executor.out}

    def rank(name: str) -> tuple[bool, bool]:
        task = state.tasks[name]
        return name not in flying, task.done + task.failed >= task.planned

    return sorted(state.tasks, key=rank)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True, overflow="ellipsis", max_width=_NAME)
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _errors(number: int) -> Text:
    return Text(f"{number:,}", style="red" if number else "dim")


def _cut(name: str) -> Text:
    shown = printable(name)
    return Text(shown if len(shown) <= 2 * _NAME else shown[: 2 * _NAME - 1] + "…")
