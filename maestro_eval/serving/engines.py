"""Finds the engines that a registry needs on this machine: one for each local address that has a ``serve`` block.

Two entries may share an address if their ``serve`` blocks are equal: one engine then answers to both names. Addresses
of other machines are not served here; they are reported.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from maestro_eval.records import Endpoint, UserError
from maestro_eval.registry import Registry, ServeBlock

LOOPBACK = "127.0.0.1"
# Arguments that we set, and the field of the registry that decides each.
_DECIDED_HERE = {
    "port": "the endpoint's url",
    "host": "the endpoint's url",
    "served_model_name": "model",
    "tensor_parallel_size": "serve.gpus",
    "data_parallel_size": "serve.replicas",
}


class Engine(Struct, frozen=True):
    """An engine to start at ``host``:``port``, which serves the models ``names``; ``endpoints`` are its endpoint names.

    ``key_env`` names the variable with the key that it requires. ``is_policy`` is True for the orchestrator's engine.
    """

    endpoints: tuple[str, ...]
    host: str
    port: int
    names: tuple[str, ...]
    serve: ServeBlock
    key_env: str = ""
    is_policy: bool = False

    @property
    def name(self) -> str:
        """The first of its endpoints."""
        return self.endpoints[0]

    @property
    def gpus(self) -> int:
        """The number of GPUs that it needs on one node, for all its replicas."""
        return self.serve.gpus * self.serve.replicas


class WantedEngines(Struct, frozen=True):
    """The engines in the registry's order, and the endpoints whose models are served on other machines."""

    engines: tuple[Engine, ...]
    elsewhere: tuple[str, ...] = ()


def wanted_engines(registry: Registry, own_names: Collection[str] | None = None) -> WantedEngines:
    """Find the engines to start for ``registry``; ``own_names`` are this machine's host names besides the loopback's.

    Raise UserError for two different engines at one address, for an address that no engine can have, and for an
    argument that another field of the registry sets.
    """
    own = frozenset({LOOPBACK, "localhost", *(_names_of_this_machine() if own_names is None else own_names)})
    engines: dict[int, Engine] = {}
    elsewhere: dict[str, None] = {}
    for what, model, endpoint, serve in _served(registry):
        url = urlsplit(endpoint.url)
        if url.hostname is None or url.hostname.casefold() not in own:
            elsewhere[endpoint.name] = None
            continue
        _check_arguments(registry, what, serve)
        engine = Engine(
            endpoints=(endpoint.name,),
            host=LOOPBACK if url.hostname == "localhost" else url.hostname,
            port=_port(registry, endpoint),
            names=(model,),
            serve=serve,
            key_env=endpoint.api_key_env,
            is_policy=what == "orchestrator",
        )
        engines[engine.port] = _joined(registry, engines.get(engine.port), engine)
    return WantedEngines(tuple(_with_all_endpoints(engine, registry) for engine in engines.values()), tuple(elsewhere))


def _served(registry: Registry) -> Iterator[tuple[str, str, Endpoint, ServeBlock]]:
    if (policy := registry.orchestrator) and policy.serve:
        yield "orchestrator", policy.model, registry.endpoints[policy.endpoint], policy.serve
    for expert in registry.experts.values():
        if expert.serve:
            yield f"experts.{expert.name}", expert.model, registry.endpoints[expert.endpoint], expert.serve
    for service in registry.services.values():
        if service.serve:
            yield f"services.{service.name}", service.model, registry.endpoints[service.endpoint], service.serve


def _joined(registry: Registry, before: Engine | None, engine: Engine) -> Engine:
    if before is None:
        return engine
    if before.serve != engine.serve:
        raise UserError(
            f"{registry.path}: endpoints.{engine.name}: {before.names[0]} and {engine.names[0]} differ and are to be "
            f"served at one port ({engine.port}); give one of them another endpoint"
        )
    endpoints, names = (
        tuple(dict.fromkeys((*ours, *theirs)))
        for ours, theirs in ((before.endpoints, engine.endpoints), (before.names, engine.names))
    )
    return msgspec.structs.replace(before, endpoints=endpoints, names=names)


def _with_all_endpoints(engine: Engine, registry: Registry) -> Engine:
    """Add the endpoints with the same address whose entries have no serve block."""
    urls = {registry.endpoints[name].url for name in engine.endpoints}
    more = (name for name, endpoint in registry.endpoints.items() if endpoint.url in urls)
    return msgspec.structs.replace(engine, endpoints=tuple(dict.fromkeys((*engine.endpoints, *more))))


def _port(registry: Registry, endpoint: Endpoint) -> int:
    url = urlsplit(endpoint.url)
    try:
        port = url.port
    except ValueError:
        port = None
    if url.scheme != "http" or url.path != "/v1" or not port:
        raise UserError(
            f"{registry.path}: endpoints.{endpoint.name}.url: {endpoint.url} is no address that an engine here can "
            "have; expected http://HOST:PORT/v1"
        )
    return port


def _check_arguments(registry: Registry, what: str, serve: ServeBlock) -> None:
    set_elsewhere = dict(_DECIDED_HERE)
    if serve.memory_gb is not None:
        set_elsewhere["gpu_memory_utilization"] = "serve.memory_gb"
    for argument in serve.args:
        place = set_elsewhere.get(argument.replace("-", "_"))
        if place:
            raise UserError(f"{registry.path}: {what}.serve.args.{argument}: leave it out, {place} sets it")


def _names_of_this_machine() -> tuple[str, ...]:
    name = socket.gethostname().casefold()
    return name, name.partition(".")[0]
