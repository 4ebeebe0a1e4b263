"""A run in one line, for logs."""

from __future__ import annotations

from maestro_eval.progress.facts import Facts, short, span
from maestro_eval.report.table import printable
from maestro_eval.runtime import EndpointState

_TASKS = 4
# Longer than a commit's interval: below it, silence is no news.
_QUIET_S = 30.0


def line(facts: Facts) -> str:
    """Every fact of the display, shortened."""
    return "; ".join(part for part in (_rollouts(facts), _tokens(facts), _endpoints(facts), _tasks(facts)) if part)


def last_line(facts: Facts) -> str:
    """What came of it."""
    failed = f", {facts.state.failed:,} failed" if facts.state.failed else ""
    done = f"{facts.state.done:,}/{facts.state.planned:,} rollouts{failed}"
    return f"{printable(facts.name)}: {done} in {span(facts.elapsed_s)}"


def _rollouts(facts: Facts) -> str:
    state = facts.state
    parts = [f"{state.done:,}/{state.planned:,} rollouts"]
    if state.failed:
        parts.append(f"{state.failed:,} failed")
    parts.append(f"{len(state.executor.out):,} in flight")
    if facts.pace.rollouts is not None:
        parts.append(f"{short(facts.pace.rollouts)}/s")
    if facts.left_s:
        parts.append(f"{span(facts.left_s)} left")
    if facts.quiet_s >= _QUIET_S and state.executor.out:
        parts.append(f"nothing committed for {span(facts.quiet_s)}")
    if state.stopping:
        parts.append("stopping")
    return f"{printable(facts.name)}: {', '.join(parts)}"


def _tokens(facts: Facts) -> str:
    tokens, pace = facts.state.tokens, facts.pace
    if not tokens.prompt_tokens + tokens.completion_tokens:
        return ""
    rate = "" if pace.completion_tokens is None else f", {short(pace.completion_tokens)}/s"
    return f"tokens {short(tokens.prompt_tokens)} + {short(tokens.completion_tokens)}{rate}"


def _endpoints(facts: Facts) -> str:
    return ", ".join(map(_endpoint, facts.state.endpoints))


def _endpoint(endpoint: EndpointState) -> str:
    places = endpoint.places
    waiting = f" + {places.queued:,} waiting" if places.queued else ""
    errors = f" ({endpoint.errors:,} errors)" if endpoint.errors else ""
    return f"{printable(endpoint.name)} {places.in_flight:,}{waiting}{errors}"


def _tasks(facts: Facts) -> str:
    shown = []
    for name, running in facts.running.items():
        estimate = running.estimate()
        if estimate is not None:
            shown.append(
                f"{printable(name)} {_percent(estimate.value)} [{_percent(estimate.low)}–{_percent(estimate.high)}]"
            )
    more = f" and {len(shown) - _TASKS} tasks more" if len(shown) > _TASKS else ""
    return f"so far {', '.join(shown[:_TASKS])}{more}" if shown else ""


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
