"""Which engines does a registry want here? One for each address of this machine that has a ``serve`` block.

Two entries may name one address when they mean one engine: it then answers to both names. An address of another
machine is somebody else's to serve; it is passed over, and said.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from maestro_eval.records import UserError
from maestro_eval.registry import EndpointEntry, Registry, ServeBlock

LOOPBACK = "127.0.0.1"
# What the placement decides, and where a registry says it instead.
_DECIDED_HERE = {
    "port": "the endpoint's url",
    "host": "the endpoint's url",
    "served_model_name": "model",
    "tensor_parallel_size": "serve.gpus",
    "data_parallel_size": "serve.replicas",
}


class Engine(Struct, frozen=True):
    """One engine to start: at ``host``:``port``, under each of ``names``; ``endpoints`` are the registry's for it.

    ``key_env`` names the variable with the key that it is to ask for. ``is_policy``: the orchestrator's.
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
        """The endpoint's by which it was asked for first."""
        return self.endpoints[0]

    @property
    def gpus(self) -> int:
        """All GPUs that it needs on one node, of all its replicas."""
        return self.serve.gpus * self.serve.replicas


class Wanted(Struct, frozen=True):
    """The engines in the registry's order, and the endpoints whose models are served on other machines."""

    engines: tuple[Engine, ...]
    elsewhere: tuple[str, ...] = ()


def wanted_engines(registry: Registry, own_names: Collection[str] | None = None) -> Wanted:
    """What ``serve`` is to start for ``registry``; ``own_names`` are this machine's, besides those of the loopback.

    UserError for two engines at one address, for an address that no engine can have, and for an argument that is
    said elsewhere in the registry.
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
    return Wanted(tuple(_with_all_endpoints(engine, registry) for engine in engines.values()), tuple(elsewhere))


def _served(registry: Registry) -> Iterator[tuple[str, str, EndpointEntry, ServeBlock]]:
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
    """Entries without a serve block may be asked at the same address."""
    urls = {registry.endpoints[name].url for name in engine.endpoints}
    more = (name for name, endpoint in registry.endpoints.items() if endpoint.url in urls)
    return msgspec.structs.replace(engine, endpoints=tuple(dict.fromkeys((*engine.endpoints, *more))))


def _port(registry: Registry, endpoint: EndpointEntry) -> int:
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
    said_elsewhere = dict(_DECIDED_HERE)
    if serve.memory_gb is not None:
        said_elsewhere["gpu_memory_utilization"] = "serve.memory_gb"
    for argument in serve.args:
        place = said_elsewhere.get(argument.replace("-", "_"))
        if place:
            raise UserError(f"{registry.path}: {what}.serve.args.{argument}: leave it out, {place} says it")


def _names_of_this_machine() -> tuple[str, ...]:
    name = socket.gethostname().casefold()
    return name, name.partition(".")[0]
