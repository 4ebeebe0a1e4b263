"""Renders ``/metrics`` as vLLM does: Prometheus text with its names and labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

CONTENT_TYPE = "text/plain; version=0.0.4"


class ServerState(Struct, frozen=True):
    """The state of the server. ``cache_usage`` is 0 to 1; ``finished`` counts requests by finish reason."""

    model: str
    running: int
    waiting: int
    cache_usage: float
    preemptions: int
    prompt_tokens: int
    generation_tokens: int
    finished: Mapping[str, int]


def render_metrics(state: ServerState) -> str:
    """Return the page, ending in a newline."""
    gauges = [
        ("num_requests_running", "Requests that have a slot.", state.running),
        ("num_requests_waiting", "Requests that wait for a slot.", state.waiting),
        ("kv_cache_usage_perc", "KV cache in use; 1 is all of it.", state.cache_usage),
    ]
    counters = [
        ("num_preemptions_total", "Requests that lost their slot to others.", state.preemptions),
        ("prompt_tokens_total", "Tokens read.", state.prompt_tokens),
        ("generation_tokens_total", "Tokens written.", state.generation_tokens),
    ]
    labels = f'engine="0",model_name="{_escape(state.model)}"'
    lines: list[str] = []
    for kind, metrics in (("gauge", gauges), ("counter", counters)):
        for name, text, value in metrics:
            lines += _metric(name, kind, text, [(labels, value)])
    done = [(f'{labels},finished_reason="{_escape(reason)}"', count) for reason, count in state.finished.items()]
    lines += _metric("request_success_total", "counter", "Requests that ended, by reason.", done)
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP vllm:{name} {text}"
    yield f"# TYPE vllm:{name} {kind}"
    for labels, value in samples:
        yield f"vllm:{name}{{{labels}}} {float(value)}"


def _escape(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
