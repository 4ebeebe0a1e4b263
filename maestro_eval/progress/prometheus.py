"""The state of a run as Prometheus reads it, served on loopback for as long as the run goes on.

The text format 0.0.4 of https://prometheus.io/docs/instrumenting/exposition_formats/: families with their help and
type, label values with backslash, quote and line feed escaped. It is written here because it is forty lines; metric
names do not change between versions without a word in the changelog.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from msgspec import Struct

from maestro_eval.progress.facts import Facts
from maestro_eval.records import UserError
from maestro_eval.runtime import EndpointState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# A scraper that asks nothing does not keep a thread.
_PATIENCE_S = 10.0
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Series(Struct, frozen=True):
    """One value of a family, under its labels; ``suffix`` is none but for counters."""

    value: float
    labels: Mapping[str, str] = {}


class Family(Struct, frozen=True):
    """A metric."""

    name: str
    kind: str
    help: str
    series: list[Series]


def exposition(facts: Facts) -> str:
    """All families, those without a value left out."""
    blocks = []
    for family in _families(facts):
        if family.series:
            head = f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n"
            blocks.append(
                head + "".join(f"{family.name}{_labels(one.labels)} {one.value!r}\n" for one in family.series)
            )
    return "".join(blocks)


def _families(facts: Facts) -> Iterator[Family]:
    state = facts.state
    ends = [
        Series(getattr(task, end), {"task": name, "state": end})
        for name, task in state.tasks.items()
        for end in ("answered", "exhausted", "failed")
    ]
    planned = [Series(task.planned, {"task": name}) for name, task in state.tasks.items()]
    before = [Series(task.before, {"task": name}) for name, task in state.tasks.items()]
    tokens = [
        Series(state.tokens.prompt_tokens, {"kind": "prompt"}),
        Series(state.tokens.completion_tokens, {"kind": "completion"}),
    ]
    silent = [Series(worker.silent_s, {"worker": worker.name}) for worker in state.executor.workers]
    accuracy = [
        Series(estimate.value, {"task": name})
        for name, running in facts.running.items()
        if (estimate := running.estimate()) is not None
    ]
    yield Family("maestro_run_info", "gauge", "The run; its value is 1.", [Series(1, {"system": facts.name})])
    yield Family("maestro_rollouts_total", "counter", "Rollouts ended since the run was begun or resumed.", ends)
    yield Family("maestro_rollouts_planned", "gauge", "Rollouts of the whole run.", planned)
    yield Family("maestro_rollouts_done_before", "gauge", "Rollouts done before the run was begun or resumed.", before)
    yield Family(
        "maestro_rollouts_in_flight", "gauge", "Rollouts that workers hold.", [Series(len(state.executor.out))]
    )
    yield Family("maestro_rollouts_queued", "gauge", "Rollouts that no worker holds.", [Series(state.executor.queued)])
    yield Family(
        "maestro_rollouts_lost_total", "counter", "Rollouts lost with their worker and given away again.",
        [Series(state.executor.losses)],
    )  # fmt: skip
    yield Family("maestro_tokens_total", "counter", "Tokens of committed rollouts, without cached calls.", tokens)
    yield Family(
        "maestro_seconds_since_commit", "gauge", "Seconds since a rollout was last committed.", [Series(facts.quiet_s)]
    )
    yield Family("maestro_worker_silent_seconds", "gauge", "Seconds since a worker last answered.", silent)
    yield Family("maestro_task_running_accuracy", "gauge", "Mean value of the rollouts judged so far.", accuracy)
    yield from _endpoint_families(state.endpoints)


def _endpoint_families(endpoints: tuple[EndpointState, ...]) -> Iterator[Family]:
    def gauges(field: str) -> list[Series]:
        return [Series(getattr(one.places, field), {"endpoint": one.name, "url": one.url}) for one in endpoints]

    yield Family("maestro_endpoint_in_flight", "gauge", "Requests at the endpoint.", gauges("in_flight"))
    yield Family("maestro_endpoint_waiting", "gauge", "Calls that wait for a place there.", gauges("queued"))
    yield Family("maestro_endpoint_limit", "gauge", "Requests that are allowed there now.", gauges("limit"))
    yield Family("maestro_endpoint_limit_max", "gauge", "Requests that may ever be allowed there.", gauges("cap"))
    yield Family(
        "maestro_endpoint_requests_total", "counter", "Requests by their end: answered, refused for load, or broken.",
        [
            Series(getattr(one.places, end), {"endpoint": one.name, "url": one.url, "end": end})
            for one in endpoints
            for end in ("answered", "refused", "broken")
        ],
    )  # fmt: skip


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    # Half a surrogate pair cannot be sent as UTF-8.
    return value.encode("utf-8", "replace").decode().translate(_ESCAPES)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A scraper that went away is none of the run's concern; anything else is told as ever."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class MetricsServer:
    """``GET /metrics`` on 127.0.0.1; ``port`` 0 takes a free one. UserError where the port is taken."""

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
                """Whoever asks is not worth a line each time."""

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
