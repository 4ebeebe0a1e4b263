"""What a registry may say about serving, and that none of it is in its hash but what can change a score."""

import pytest
from small_worlds import registry_text

from maestro_eval.records import UserError
from maestro_eval.registry import Orchestrator, ServeBlock, load_registry


@pytest.fixture
def with_serve(tmp_path):
    def write(block: str, more: str = "") -> object:
        path = tmp_path / "r.yaml"
        entry = f"    description: Counts coloured objects.\n    serve: {block}"
        path.write_text(registry_text(more=more).replace("    description: Counts coloured objects.", entry))
        return load_registry(path)

    return write


@pytest.mark.parametrize("room", ["memory_gb: 20", "replicas: 2", "gpus: 4"])
def test_room_is_not_in_the_hash(with_serve, room):
    assert with_serve("{model: m}").hash == with_serve(f"{{model: m, {room}}}").hash


def test_another_program_is_in_the_hash_of_its_entry(with_serve):
    assert with_serve("{model: m}").hash != with_serve("{model: m, command: [mine, '{port}']}").hash


def test_the_orchestrator_is_in_no_hash_and_is_inherited_whole(with_serve, tmp_path):
    block = "orchestrator: {model: policy, endpoint: here, serve: {model: org/policy, gpus: 2}}"
    plain, served = with_serve("{model: m}"), with_serve("{model: m}", block)
    assert served.hash == plain.hash
    child = tmp_path / "child.yaml"
    child.write_text("name: child\nextends: r.yaml\n")
    assert load_registry(child).orchestrator == Orchestrator(
        model="policy", endpoint="here", serve=ServeBlock(model="org/policy", gpus=2)
    )
    child.write_text("name: child\nextends: r.yaml\norchestrator: {model: other, endpoint: here}\n")
    assert load_registry(child).orchestrator == Orchestrator(model="other", endpoint="here")


def test_an_orchestrator_without_its_endpoint_is_refused_with_its_line(with_serve):
    with pytest.raises(
        UserError, match=r"r\.yaml:\d+: orchestrator\.endpoint: no endpoint 'hare'; did you mean 'here'"
    ):
        with_serve("{model: m}", "orchestrator: {model: policy, endpoint: hare}")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{model: m, gpus: 0, memory_gb: 3}", "memory_gb is about GPUs, and gpus is 0"),
        ("{model: m, command: [mine]}", r"does not contain \{port\}"),
        ("{model: m, args: {dtype: half}, command: [mine, '{port}']}", "args are vLLM's"),
        ("{model: m, replicas: 2, command: [mine, '{port}']}", "replicas are vLLM's"),
        ("{model: m, memory: 3}", "did you mean 'memory_gb'"),
        ("{model: m, memory_gb: .inf}", "memory_gb"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_field(with_serve, block, message):
    with pytest.raises(UserError, match=rf"experts\.counter\.serve.*{message}"):
        with_serve(block)
