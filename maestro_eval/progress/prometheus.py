"""Serves the state of a run to Prometheus, on loopback and while the run lasts.

The text format 0.0.4 of https://prometheus.io/docs/instrumenting/exposition_formats/: families with their help and
type, label values with backslash, quote and line feed escaped. It is written here because it is forty lines; a change
of a metric's name is in the changelog.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from maestro_eval.progress.facts import Facts
from maestro_eval.records import UserError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# A scraper that sends no request does not occupy a thread for longer.
_PATIENCE_S = 10.0
_Series = list[tuple[dict[str, str], float]]
"""The values of a family, each with its labels."""
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def exposition(facts: Facts) -> str:
    """Write all families that have a value."""
    state, tasks = facts.state, facts.state.tasks.items()
    workers, tokens, endpoints = state.executor.workers, state.tokens, state.endpoints

    def places(field: str) -> _Series:
        return [({"endpoint": one.name, "url": one.url}, getattr(one.places, field)) for one in endpoints]

    ends = [
        ({"task": name, "state": end}, getattr(task, end))
        for name, task in tasks
        for end in ("answered", "exhausted", "failed")
    ]
    requests = [
        ({**labels, "end": end}, value) for end in ("answered", "refused", "broken") for labels, value in places(end)
    ]
    accuracies = [
        ({"task": name}, estimate.value)
        for name, running in facts.running.items()
        if (estimate := running.estimate()) is not None
    ]
    families: list[tuple[str, str, str, _Series]] = [
        ("run_info", "gauge", "The run; its value is 1.", [({"system": facts.name}, 1)]),
        ("rollouts_total", "counter", "Rollouts ended since the run was begun or resumed.", ends),
        ("rollouts_planned", "gauge", "Rollouts of the whole run.", [({"task": n}, t.planned) for n, t in tasks]),
        ("rollouts_done_before", "gauge", "Rollouts done before the run was begun or resumed.",
         [({"task": n}, t.before) for n, t in tasks]),
        ("rollouts_in_flight", "gauge", "Rollouts in flight at workers.", [({}, len(state.executor.out))]),
        ("rollouts_queued", "gauge", "Rollouts that wait for a worker.", [({}, state.executor.queued)]),
        ("rollouts_lost_total", "counter", "Rollouts lost with their worker and given away again.",
         [({}, state.executor.losses)]),
        ("tokens_total", "counter", "Tokens of committed rollouts, without cached calls.",
         [({"kind": "prompt"}, tokens.prompt_tokens), ({"kind": "completion"}, tokens.completion_tokens)]),
        ("seconds_since_commit", "gauge", "Seconds since a rollout was last committed.", [({}, facts.quiet_s)]),
        ("worker_silent_seconds", "gauge", "Seconds since a worker last answered.",
         [({"worker": worker.name}, worker.silent_s) for worker in workers]),
        ("task_running_accuracy", "gauge", "Mean value of the rollouts judged so far.", accuracies),
        ("endpoint_in_flight", "gauge", "Requests at the endpoint.", places("in_flight")),
        ("endpoint_waiting", "gauge", "Calls that wait for a place there.", places("queued")),
        ("endpoint_limit", "gauge", "Requests that are allowed there now.", places("limit")),
        ("endpoint_limit_max", "gauge", "Requests that may ever be allowed there.", places("cap")),
        ("endpoint_requests_total", "counter", "Requests by their end: answered, refused for load, or broken.",
         requests),
    ]  # fmt: skip
    return "".join(_family(f"maestro_{name}", kind, help, series) for name, kind, help, series in families if series)


def _family(name: str, kind: str, help: str, series: _Series) -> str:
    values = "".join(f"{name}{_labels(labels)} {value!r}\n" for labels, value in series)
    return f"# HELP {name} {help}\n# TYPE {name} {kind}\n{values}"


def _labels(labels: Mapping[str, str]) -> str:
    # Half a surrogate pair cannot be encoded as UTF-8.
    escaped = {name: value.encode("utf-8", "replace").decode().translate(_ESCAPES) for name, value in labels.items()}
    pairs = ",".join(f'{name}="{value}"' for name, value in escaped.items())
    return f"{{{pairs}}}" if pairs else ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a scraper that disconnected; report other errors as usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class MetricsServer:
    """Serves ``GET /metrics`` on 127.0.0.1; ``port`` 0 picks a free one. UserError if the port is in use."""

    def __init__(self, port: int, read: Callable[[], Facts | None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE_S

            def do_GET(self) -> None:
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(404)
                    return
                facts = read()
                body = b"" if facts is None else exposition(facts).encode()
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Log no requests."""

        try:
            self._server = _Server(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise UserError(f"--metrics-port {port}: {why}; choose another, or 0 for any that is free") from error
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/metrics"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
