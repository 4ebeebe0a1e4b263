"""Is anybody there, with this key and this model?"""

import socket
import threading
from contextlib import contextmanager

import pytest
from msgspec.structs import replace
from small_worlds import small_registry

from maestro_eval.policies import read_policy
from maestro_eval.records import UserError
from maestro_eval.registry import Registry, load_registry
from maestro_eval.serving import check_models, wanted_of, wanted_policy
from maestro_eval.serving.preflight import services_used
from maestro_eval.testing import simulated_in_thread


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


def faults(registry: Registry, environ: dict[str, str] | None = None) -> list[str]:
    # Two experts share the endpoint.
    return list(dict.fromkeys(lack.fault.detail for lack in check_models(wanted_of(registry), environ or {}).lacks))


def test_a_server_that_answers_passes_without_a_completion_being_asked(tmp_path):
    with simulated_in_thread() as server:
        assert faults(small_registry(tmp_path, server.url)) == []
        assert server.requests == []


def test_an_http_error_is_an_answer(tmp_path):
    with answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n") as url:
        assert faults(small_registry(tmp_path, url)) == []


def test_a_dead_endpoint_is_named_with_its_field_and_address(tmp_path):
    url = closed_address()
    registry = small_registry(tmp_path, url)
    with pytest.raises(UserError) as caught:
        check_models(wanted_of(registry)).optional_lacks()
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path / 'small.yaml'}: endpoints.here.url: {url} does not answer (Connection refused)"
    )
    assert "\n" not in message


@pytest.mark.parametrize("reply", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"\x00\xff\r\n\r\n"])
def test_something_that_speaks_no_http_is_not_an_answer(tmp_path, reply):
    with answering(reply) as url:
        (fault,) = faults(small_registry(tmp_path, url))
        assert "does not answer" in fault


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:port/v1", f"http://{'a' * 70}.invalid/v1", "http://no-such-host.invalid/v1"]
)
def test_an_address_that_cannot_be_is_one_line(tmp_path, url):
    (fault,) = faults(small_registry(tmp_path, url))
    assert "does not answer" in fault
    assert "\n" not in fault


# Keys


def test_a_key_that_is_unset_is_named_with_its_variable(tmp_path):
    with simulated_in_thread(api_key="secret") as server:
        registry = with_key(small_registry(tmp_path, server.url))
        (fault,) = faults(registry)
        assert "endpoints.here.api_key_env: $OURS is not set" in fault
        assert faults(registry, {"OURS": "secret"}) == []


def test_a_key_that_is_wrong_or_needed_is_named_with_its_field(tmp_path):
    with simulated_in_thread(api_key="secret") as server:
        registry = small_registry(tmp_path, server.url)
        (wrong,) = faults(with_key(registry), {"OURS": "other"})
        assert "endpoints.here.api_key_env" in wrong
        assert "refuses the key in $OURS" in wrong
        (needed,) = faults(registry)
        assert "needs a key" in needed


def with_key(registry: Registry) -> Registry:
    return replace(registry, endpoints={"here": replace(registry.endpoints["here"], api_key_env="OURS")})


# Models


def test_a_model_that_is_not_served_is_named_with_what_is(tmp_path):
    with simulated_in_thread(models=["other-model"]) as server:
        fault = faults(small_registry(tmp_path, server.url))[0]
        assert "experts.reader.model" in fault
        assert "serves no 'reader-model', it serves other-model" in fault


def listing(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_a_gateway_may_serve_more_than_it_lists(tmp_path):
    # It says 200 to whatever it is asked.
    with answering(listing(b'{"data": [{"id": "other-model"}]}')) as url:
        assert faults(small_registry(tmp_path, url)) == []


def test_the_policys_model_is_looked_for_at_each_replica():
    with simulated_in_thread(models=["one"]) as server:
        spec = f"openai:{server.url}#two"
        (lack,) = check_models(wanted_policy(read_policy(spec), "")).lacks
        assert lack.fault.detail.startswith(f"--policy {spec}: {server.url} serves no 'two'")
        assert check_models(wanted_policy(read_policy(f"openai:{server.url}#one"), "")).lacks == ()


def test_contexts_are_those_that_servers_tell():
    with answering(listing(b'{"data": [{"id": "m", "max_model_len": 4096}]}')) as url:
        assert check_models(wanted_policy(read_policy(f"openai:{url}#m"), "")).contexts == {f"{url}#m": 4096}


# Services

SPOTTER = "services:\n  spotter: {{model: d, endpoint: there, request: Look.{more}}}\n"
SKILL = "skills:\n  Spot: {description: Spots., prompt: prompts/plain.j2, evidence: [spotter]}\n"


def with_service(folder, url: str, *, more: str = "", skill: str = SKILL) -> Registry:
    small_registry(folder, url)
    path = folder / "more.yaml"
    there = f"endpoints:\n  there: {{url: {closed_address()}}}\n"
    path.write_text(f"name: more\nextends: small.yaml\n{there}{SPOTTER.format(more=more)}{skill}")
    return load_registry(path)


def test_a_service_that_is_down_stops_a_run_only_where_it_is_required(tmp_path):
    with simulated_in_thread() as server:
        (lack,) = check_models(wanted_of(with_service(tmp_path, server.url))).optional_lacks()
        assert (lack.wanted.kind, lack.wanted.name, lack.fault.kind) == ("service", "spotter", "connection")
        required = with_service(tmp_path, server.url, more=", optional: false")
        with pytest.raises(UserError, match=r"endpoints\.there\.url: .* does not answer"):
            check_models(wanted_of(required)).optional_lacks()


def test_services_that_no_skill_uses_are_not_asked(tmp_path):
    with simulated_in_thread() as server:
        registry = with_service(tmp_path, server.url, skill="")
        assert check_models(wanted_of(registry)).lacks == ()
        used = with_service(tmp_path, server.url)
        assert services_used(used) == ["spotter"]
        assert services_used(used, read_policy("direct:reader")) == []
        assert services_used(used, read_policy("fixed:reader@@Read_Text")) == []
        assert services_used(used, read_policy("fixed:reader@@Spot")) == ["spotter"]
