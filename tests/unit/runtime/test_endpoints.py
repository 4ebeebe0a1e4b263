"""What a run starts for a registry, found by the door ``endpoints``, and the addresses that it gives."""

import re
import socket
import threading
from collections.abc import Iterable
from contextlib import contextmanager

import pytest
from msgspec.structs import replace
from small_worlds import small_registry

from maestro_eval.models import ExpertClient
from maestro_eval.policies import read_policy
from maestro_eval.records import UserError
from maestro_eval.registry import Registry, load_registry
from maestro_eval.runtime import endpoints
from maestro_eval.runtime.endpoints import (
    Checked,
    NeededModel,
    bind,
    check_models,
    needed_models,
    program_revisions,
    services_used,
    started,
)
from maestro_eval.testing import simulated_in_thread
from tests.plugin_worlds import installed

STARTER = """
import contextlib
from maestro_eval.registry import Starter

@contextlib.contextmanager
def start(log):
    log.parent.mkdir(parents=True)
    log.write_text("up")
    yield "http://127.0.0.1:5/v1"
    log.write_text("down")

MINE = Starter(start, lambda: "7")
"""
REGISTRY = """
schema: 1
name: mine
endpoints: {here: {start: mine}}
experts: {oracle: {model: m, endpoint: here, description: Knows.}}
skills: {Ask: {description: Asks., pipeline: direct}}
"""


def test_binding_gives_addresses_to_what_was_started_and_keeps_the_hash(tmp_path):
    embedded, addressed = load_registry("embedded"), small_registry(tmp_path)
    bound = bind(embedded, {"embedded": "http://127.0.0.1:5/v1"})
    assert bound.endpoints["cpu"].url == "http://127.0.0.1:5/v1"
    assert embedded.endpoints["cpu"].url == ""
    assert bound.hash == embedded.hash
    assert bind(addressed, {}) == addressed


def test_a_registry_of_addresses_starts_nothing(tmp_path):
    with started([small_registry(tmp_path)], tmp_path / "logs") as served:
        assert served == {}
    assert not (tmp_path / "logs").exists()
    assert program_revisions(small_registry(tmp_path)) == {}


def test_an_installed_starter_is_found_and_lasts_as_long_as_the_block(tmp_path):
    (tmp_path / "r.yaml").write_text(REGISTRY)
    with installed(tmp_path / "it", {"starting.py": STARTER}, "[maestro_eval.endpoints]\nmine = starting:MINE\n"):
        registry = load_registry(tmp_path / "r.yaml")
        with started([registry, registry], tmp_path / "logs") as served:
            assert bind(registry, served).endpoints["here"].url == "http://127.0.0.1:5/v1"
            assert (tmp_path / "logs" / "mine.log").read_text() == "up"
        assert (tmp_path / "logs" / "mine.log").read_text() == "down"
        assert program_revisions(registry) == {"mine": "7"}


def test_an_unknown_name_is_refused_with_its_line(tmp_path):
    (tmp_path / "r.yaml").write_text(REGISTRY.replace("start: mine", "start: embeded"))
    with pytest.raises(UserError, match=r"endpoints\.here\.start: .*'embeded' is unknown; did you mean 'embedded'\?"):
        load_registry(tmp_path / "r.yaml")


# Is anybody there, with this key and this model?


@contextmanager
def answering(reply: bytes):
    """A listener that says ``reply`` to whoever connects, HTTP or not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(reply)
            except OSError:
                return  # The listener was closed: the test is over.

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        listener.shutdown(socket.SHUT_RDWR)


def closed_address() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


async def check(wanted: Iterable[NeededModel], environ: dict[str, str] | None = None) -> Checked:
    async with ExpertClient(environ=environ or {}) as client:
        return await check_models(wanted, client)


async def faults(registry: Registry, environ: dict[str, str] | None = None) -> list[str]:
    # Two experts share the endpoint.
    return list(dict.fromkeys(one.why for one in (await check(needed_models(registry), environ)).unavailable))


async def test_a_server_that_answers_passes_without_a_completion_being_asked(tmp_path):
    with simulated_in_thread() as server:
        assert await faults(small_registry(tmp_path, server.url)) == []
        assert server.requests == []


async def test_an_http_error_is_an_answer(tmp_path):
    with answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n") as url:
        assert await faults(small_registry(tmp_path, url)) == []


async def test_an_address_that_has_moved_is_named(tmp_path):
    with answering(b"HTTP/1.1 307 Moved\r\nLocation: /v1/\r\nContent-Length: 0\r\n\r\n") as url:
        (fault,) = await faults(small_registry(tmp_path, url))
        assert fault.endswith("redirects are not followed, write the final address into the endpoint's url")


async def test_a_dead_endpoint_is_named_with_its_field_and_address(tmp_path):
    url = closed_address()
    registry = small_registry(tmp_path, url)
    unavailable = (await check(needed_models(registry))).unavailable
    assert all(one.model.required for one in unavailable)
    message = unavailable[0].why
    assert message.startswith(
        f"{tmp_path / 'small.yaml'}: endpoints.here.url: {url} refused the connection; is the model served there?"
    )
    assert "\n" not in message


@pytest.mark.parametrize("reply", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"\x00\xff\r\n\r\n"])
async def test_something_that_speaks_no_http_is_not_an_answer(tmp_path, reply):
    with answering(reply) as url:
        (fault,) = await faults(small_registry(tmp_path, url))
        assert f"endpoints.here.url: {url}" in fault


async def test_what_is_silent_too_long_is_to_be_started_and_not_given_more_time(tmp_path, monkeypatch):
    monkeypatch.setattr(endpoints, "_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        (fault,) = await faults(small_registry(tmp_path, url))
    assert fault.endswith(f"endpoints.here.url: {url} does not answer; start the server there or correct the address")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:port/v1", f"http://{'a' * 70}.invalid/v1", "http://no-such-host.invalid/v1"]
)
async def test_an_address_that_cannot_be_is_one_line(tmp_path, url):
    (fault,) = await faults(small_registry(tmp_path, url))
    assert "endpoints.here.url: " in fault
    assert "\n" not in fault


# Keys


async def test_a_key_that_is_unset_is_named_with_its_variable(tmp_path):
    with simulated_in_thread(api_key="secret") as server:
        registry = with_key(small_registry(tmp_path, server.url))
        (fault,) = await faults(registry)
        assert "endpoints.here.api_key_env: " in fault
        assert "$OURS is not set; export OURS=…" in fault
        assert await faults(registry, {"OURS": "secret"}) == []


async def test_a_key_that_is_wrong_or_needed_is_named_with_its_field(tmp_path):
    with simulated_in_thread(api_key="secret") as server:
        registry = small_registry(tmp_path, server.url)
        (wrong,) = await faults(with_key(registry), {"OURS": "other"})
        assert "endpoints.here.api_key_env" in wrong
        assert "refuses the key in $OURS" in wrong
        (needed,) = await faults(registry)
        assert "needs a key" in needed


def with_key(registry: Registry) -> Registry:
    return replace(registry, endpoints={"here": replace(registry.endpoints["here"], api_key_env="OURS")})


# Models


async def test_a_model_that_is_not_served_is_named_with_what_is(tmp_path):
    with simulated_in_thread(models=["other-model"]) as server:
        fault = (await faults(small_registry(tmp_path, server.url)))[0]
        assert "experts.reader.model" in fault
        assert "serves no 'reader-model', it serves other-model" in fault


def listing(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def test_a_gateway_may_serve_more_than_it_lists(tmp_path):
    # It says 200 to whatever it is asked.
    with answering(listing(b'{"data": [{"id": "other-model"}]}')) as url:
        assert await faults(small_registry(tmp_path, url)) == []


def wanted_policy(folder, spec: str) -> list[NeededModel]:
    return [each for each in needed_models(small_registry(folder), read_policy(spec)) if each.kind == "policy"]


async def test_the_policys_model_is_looked_for_at_each_replica(tmp_path):
    with simulated_in_thread(models=["one"]) as server:
        spec = f"openai:{server.url}#two"
        (one,) = (await check(wanted_policy(tmp_path, spec))).unavailable
        assert one.why.startswith(f"--policy {spec}: {server.url} serves no 'two'")
        assert (await check(wanted_policy(tmp_path, f"openai:{server.url}#one"))).unavailable == ()


async def test_contexts_are_those_that_servers_tell(tmp_path):
    with answering(listing(b'{"data": [{"id": "m", "max_model_len": 4096}]}')) as url:
        assert (await check(wanted_policy(tmp_path, f"openai:{url}#m"))).contexts == {f"{url}#m": 4096}


# Services

SPOTTER = "services:\n  spotter: {{model: d, endpoint: there, request: Look.{more}}}\n"
SKILL = "skills:\n  Spot: {description: Spots., prompt: prompts/plain.j2, evidence: [spotter]}\n"


def with_service(folder, url: str, *, more: str = "", skill: str = SKILL) -> Registry:
    small_registry(folder, url)
    path = folder / "more.yaml"
    there = f"endpoints:\n  there: {{url: {closed_address()}}}\n"
    path.write_text(f"name: more\nextends: small.yaml\n{there}{SPOTTER.format(more=more)}{skill}")
    return load_registry(path)


async def test_a_service_that_is_down_stops_a_run_only_where_it_is_required(tmp_path):
    with simulated_in_thread() as server:
        (one,) = (await check(needed_models(with_service(tmp_path, server.url)))).unavailable
        assert not one.model.required
        assert (one.model.kind, one.model.name) == ("service", "spotter")
        required = with_service(tmp_path, server.url, more=", optional: false")
        (one,) = (await check(needed_models(required))).unavailable
        assert one.model.required
        assert re.search(r"endpoints\.there\.url: .* refused the connection", one.why)


async def test_services_that_no_skill_uses_are_not_asked(tmp_path):
    with simulated_in_thread() as server:
        registry = with_service(tmp_path, server.url, skill="")
        assert (await check(needed_models(registry))).unavailable == ()
        used = with_service(tmp_path, server.url)
        assert services_used(used) == ["spotter"]
        assert services_used(used, read_policy("direct:reader")) == []
        assert services_used(used, read_policy("fixed:reader@@Read_Text")) == []
        assert services_used(used, read_policy("fixed:reader@@Spot")) == ["spotter"]
