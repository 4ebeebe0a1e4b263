"""Which engines a registry wants on this machine."""

import pytest
from serve_worlds import serving_registry

from maestro_eval.records import UserError
from maestro_eval.registry import load_registry
from maestro_eval.serving.engines import wanted_engines


def expert(name: str, endpoint: str, serve: str, model: str = "") -> str:
    return f"  {name}: {{model: {model or name}, endpoint: {endpoint}, description: d, serve: {serve}}}\n"


def test_every_model_of_the_augmented_pool_is_wanted_once_and_the_captioner_never():
    wanted = wanted_engines(load_registry("augmented"), ())
    assert [engine.port for engine in wanted.engines] == [
        8000, 2368, 2376, 2362, 2364, 2369, 2381, 2382, 2388, 2370, 2389
    ]  # fmt: skip
    assert wanted.engines[0].names == ("Maestro-4B",)
    assert wanted.elsewhere == ()


def test_two_entries_with_one_address_and_one_meaning_are_one_engine(tmp_path):
    registry = serving_registry(
        tmp_path,
        expert("A", "a", "{model: org/m}", "m") + expert("B", "b", "{model: org/m}", "other"),
        "  a: {url: http://localhost:81/v1}\n  b: {url: http://127.0.0.1:81/v1}\n  c: {url: http://127.0.0.1:81/v1}",
    )
    (engine,) = wanted_engines(registry, ()).engines
    assert (engine.host, engine.port, engine.names, engine.endpoints) == (
        "127.0.0.1",
        81,
        ("m", "other"),
        ("a", "b", "c"),
    )


def test_two_engines_at_one_port_are_refused(tmp_path):
    registry = serving_registry(
        tmp_path,
        expert("A", "a", "{model: org/m}") + expert("B", "a", "{model: org/n}"),
        "  a: {url: http://localhost:81/v1, gateway: true}",
    )
    with pytest.raises(UserError, match=r"endpoints\.a: A and B differ and are to be served at one port \(81\)"):
        wanted_engines(registry, ())


def test_another_machines_address_is_passed_over_and_our_own_name_is_not(tmp_path):
    registry = serving_registry(
        tmp_path,
        expert("A", "a", "{model: m}") + expert("B", "b", "{model: m}"),
        "  a: {url: http://gpu-7:81/v1}\n  b: {url: https://gpu-8/v1}",
    )
    wanted = wanted_engines(registry, ("gpu-7",))
    assert [(engine.name, engine.host) for engine in wanted.engines] == [("a", "gpu-7")]
    assert wanted.elsewhere == ("b",)


@pytest.mark.parametrize("url", ["https://127.0.0.1:81/v1", "http://127.0.0.1/v1", "http://127.0.0.1:81/x/v1"])
def test_an_address_that_no_engine_can_have_is_refused(tmp_path, url):
    registry = serving_registry(tmp_path, expert("A", "a", "{model: m}"), f"  a: {{url: '{url}'}}")
    with pytest.raises(UserError, match=r"endpoints\.a\.url: .* expected http://HOST:PORT/v1"):
        wanted_engines(registry, ())


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ("{model: m, args: {port: 3}}", "the endpoint's url"),
        ("{model: m, args: {tensor-parallel-size: 3}}", r"serve\.gpus"),
        ("{model: m, memory_gb: 9, args: {gpu_memory_utilization: 0.3}}", r"serve\.memory_gb"),
    ],
)
def test_an_argument_that_is_said_elsewhere_is_refused_with_the_place(tmp_path, arguments, place):
    registry = serving_registry(tmp_path, expert("A", "a", arguments), "  a: {url: http://127.0.0.1:81/v1}")
    with pytest.raises(UserError, match=rf"experts\.A\.serve\.args\..*: leave it out, {place} sets it"):
        wanted_engines(registry, ())


def test_a_share_of_a_gpu_that_is_its_own_may_be_an_argument(tmp_path):
    block = "{model: m, args: {gpu_memory_utilization: 0.8}}"
    registry = serving_registry(tmp_path, expert("A", "a", block), "  a: {url: http://127.0.0.1:81/v1}")
    assert wanted_engines(registry, ()).engines[0].serve.args == {"gpu_memory_utilization": 0.8}
