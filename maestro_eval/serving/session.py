"""Prints the events of a serving session's engines and writes a registry with their addresses.

The registry is written once every engine is ready or given up, so a run may wait for the file, and again when
an address changes. An engine that is given up does not end the others; the printed command leaves out its entries.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import yaml

from maestro_eval.files import write_atomic
from maestro_eval.records import UserError
from maestro_eval.registry import Registry
from maestro_eval.serving.engines import Engine
from maestro_eval.serving.launch import find_vllm, make_launch
from maestro_eval.serving.placement import Plan
from maestro_eval.serving.supervise import Event, Report, Stop, Supervision, Supervisor, open_log

Host = Callable[[Report, Stop], Awaitable[None]]
"""Runs engines until a ``Stop`` and sends their events to a ``Report``."""
_WRITTEN_BY_US = "# Where `maestro-eval serve` has put the models; written again with every start.\n"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Session:
    """Tracks the state of the engines by their events. ``say`` prints a line; ``target`` is the registry file to write.

    ``without`` names entries of the registry that are not served.
    """

    def __init__(
        self,
        registry: Registry,
        engines: Sequence[Engine],
        say: Callable[[str], None],
        target: Path | None = None,
        without: Sequence[str] = (),
    ) -> None:
        self._registry = registry
        self._without = tuple(without)
        self._print = say
        self._target = target
        self._names = [engine.name for engine in engines]
        self._endpoints = {engine.name: engine.endpoints for engine in engines}
        self._last: dict[str, Event] = {}
        self._addresses: dict[str, str] = {}
        self._announced: dict[str, str] = {}

    @property
    def given_up(self) -> list[str]:
        return [name for name in self._names if name in self._last and self._last[name].state == "given up"]

    @property
    def is_ready(self) -> bool:
        """True once an engine has been ready and every other too or was given up, so that a run can start."""
        return bool(self._announced)

    def on_event(self, event: Event, stop: Stop) -> None:
        """Record and print an event; once no engine is awaited, write the registry and print how to run with it."""
        self._last[event.engine] = event
        tail = event.detail or event.address
        self._print(f"{event.state:<9} {event.engine}  {tail}")
        if event.state == "ready":
            self._addresses[event.engine] = event.address
        awaited = set(self._names) - set(self._addresses) - set(self.given_up)
        if not awaited and self._addresses and self._addresses != self._announced and not stop.now.is_set():
            self._announced = dict(self._addresses)
            self._announce()

    async def run(self, host: Host) -> None:
        """Run ``host`` until it ends, or until SIGINT, SIGTERM or SIGHUP; a second signal ends it without grace."""
        if self._target is not None:
            _remove_earlier(self._target, self._registry)
        stop = Stop()
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, stop.ask)
        try:
            await host(lambda event: self.on_event(event, stop), stop)
        except ExceptionGroup as failures:
            # Several engines may fail for the same reason, but the user needs one line.
            wrong = failures.subgroup(UserError)
            raise _first_error(wrong) if wrong else failures from None
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _announce(self) -> None:
        ready = {engine: self._endpoints[engine] for engine in self._names if engine in self._announced}
        served = served_registry(self._registry, ready, self._announced)
        registry: str | Path = self._registry.path
        if self._target is not None:
            write_atomic(self._target, served)
            registry = self._target
        policy = ""
        if (orchestrator := self._registry.orchestrator) and orchestrator.serve:
            name = next((n for n, places in ready.items() if orchestrator.endpoint in places), None)
            if name is not None:
                policy = f" --policy openai:{self._announced[name]}#{orchestrator.model}"
        lost = [engine for engine in self._names if engine not in ready]
        left_out = [*self._without, *(entry for engine in lost for entry in self._entries_at(engine))]
        state = f"ready without {', '.join(lost)}" if lost else "all ready"
        flags = "".join(f" --without {entry}" for entry in left_out)
        self._print(f"{state}: maestro-eval run --registry {registry}{policy}{flags} …")

    def _entries_at(self, engine: str) -> list[str]:
        """Return the experts and services that need ``engine``."""
        places = self._endpoints[engine]
        experts = [name for name, entry in self._registry.experts.items() if entry.endpoint in places]
        return experts + [name for name, entry in self._registry.services.items() if entry.endpoint in places]


def _first_error(group: ExceptionGroup[UserError]) -> UserError:
    first = group.exceptions[0]
    return _first_error(first) if isinstance(first, ExceptionGroup) else first


def served_registry(registry: Registry, endpoints: Mapping[str, Sequence[str]], addresses: Mapping[str, str]) -> str:
    """Return the YAML of a registry that extends ``registry`` with the engines' real addresses; the hash stays.

    ``endpoints`` and ``addresses`` are by engine.
    """
    rewritten = {}
    for engine, names in endpoints.items():
        for name in names:
            entry = msgspec.structs.replace(registry.endpoints[name], url=addresses[engine])
            defaults = msgspec.to_builtins(type(entry)(name=name))
            fields = msgspec.to_builtins(entry)
            rewritten[name] = {key: value for key, value in fields.items() if value != defaults[key]}
    document = {
        "schema": 1,
        "name": registry.name,
        "description": registry.description,
        "extends": str(Path(registry.path).resolve()),
        "endpoints": rewritten,
    }
    return _WRITTEN_BY_US + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _remove_earlier(target: Path, registry: Registry) -> None:
    """Remove the registry of an earlier session, so that no run that waits for the file reads its dead addresses."""
    if not target.exists():
        return
    with contextlib.suppress(OSError, UnicodeDecodeError):
        ours = target.read_text(encoding="utf-8").startswith(_WRITTEN_BY_US)
        if ours and target.resolve() != Path(registry.path).resolve():
            target.unlink()
            return
    raise UserError(f"--write-registry {target}: exists and was not written by this command; choose another name")


def serve_here(plan: Plan, logs: Path, supervision: Supervision | None = None) -> Host:
    """Return a host that runs ``plan`` on this machine. Raise UserError for a port in use, or if vLLM is missing."""
    vllm = find_vllm([placement.engine.serve for placement in plan.placements])
    for placement in plan.placements:
        _check_port(placement.engine)
    launches = [make_launch(placement, vllm) for placement in plan.placements]
    for launch in launches:
        open_log(logs / launch.log_name).close()

    async def host(report: Report, stop: Stop) -> None:
        await Supervisor(launches, logs, report, supervision).run(stop)

    return host


def _check_port(engine: Engine) -> None:
    with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in engine.host else socket.AF_INET)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((engine.host, engine.port))
        except OSError as error:
            raise UserError(
                f"endpoints.{engine.name}: {engine.host}:{engine.port} is not free ({error.strerror}); stop the "
                "process there, or give the endpoint another port"
            ) from error
