"""Is anybody there?"""

import socket
import threading
from contextlib import contextmanager

import pytest
from small_worlds import small_registry

from maestro_eval.experts.simulated import simulated_in_thread
from maestro_eval.registry import load_registry
from maestro_eval.serving import check_endpoints
from maestro_eval.types import UserError


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


def test_a_server_that_answers_passes_without_a_completion_being_asked(tmp_path):
    with simulated_in_thread() as server:
        check_endpoints(small_registry(tmp_path, server.url))
        assert server.requests == []


def test_an_http_error_is_an_answer(tmp_path):
    with simulated_in_thread(api_key="secret") as server:
        check_endpoints(small_registry(tmp_path, server.url))
    with answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n") as url:
        check_endpoints(small_registry(tmp_path, url))


def test_a_dead_endpoint_is_named_with_its_field_and_address(tmp_path):
    url = closed_address()
    with pytest.raises(UserError) as caught:
        check_endpoints(small_registry(tmp_path, url))
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path / 'small.yaml'}: endpoints.here.url: {url} does not answer (Connection refused)"
    )
    assert "\n" not in message


@pytest.mark.parametrize("reply", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"\x00\xff\r\n\r\n"])
def test_something_that_speaks_no_http_is_not_an_answer(tmp_path, reply):
    with answering(reply) as url, pytest.raises(UserError, match="does not answer"):
        check_endpoints(small_registry(tmp_path, url))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:port/v1", f"http://{'a' * 70}.invalid/v1", "http://no-such-host.invalid/v1"]
)
def test_an_address_that_cannot_be_is_one_line(tmp_path, url):
    with pytest.raises(UserError, match="does not answer") as caught:
        check_endpoints(small_registry(tmp_path, url))
    assert "\n" not in str(caught.value)


def test_endpoints_of_services_only_are_not_asked(tmp_path):
    with simulated_in_thread() as server:
        registry = small_registry(tmp_path, server.url)
        path = tmp_path / "more.yaml"
        path.write_text(
            f"name: more\nextends: small.yaml\nendpoints:\n  there: {{url: {closed_address()}}}\n"
            "services:\n  detector: {model: d, endpoint: there, request: Look.}\n"
        )
        assert set(load_registry(path).endpoints) - set(registry.endpoints) == {"there"}
        check_endpoints(load_registry(path))
