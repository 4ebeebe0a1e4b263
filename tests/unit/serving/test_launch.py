"""From a placement to a command line."""

import pytest
from serve_worlds import engine

from maestro_eval.files import picture_folder
from maestro_eval.records import UserError
from maestro_eval.registry import load_registry
from maestro_eval.rollout import STREAM_TEMPLATE
from maestro_eval.serving.launch import find_vllm, make_launch
from maestro_eval.serving.placement import Gpu, Placement


def launch(placed, *gpus, share=None, environment=None, **more):
    return make_launch(Placement(placed, gpus, share), "/bin/vllm", environment=environment or {}, **more)


def test_vllm_is_told_its_place_its_name_and_its_share():
    started = launch(engine(81, 20), Gpu(3, 80.0, id="3"), share=0.25)
    assert started.command == (
        "/bin/vllm", "serve", "org/m81", "--host=127.0.0.1", "--port=81", "--served-model-name", "m81",
        "--gpu-memory-utilization=0.25", f"--allowed-local-media-path={picture_folder()}",
    )  # fmt: skip
    assert started.environment == {"CUDA_VISIBLE_DEVICES": "3", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert (started.address, started.log_name, started.gpus) == ("http://127.0.0.1:81", "e81.log", ("3",))


def test_arguments_become_flags_whatever_their_kind():
    args = {"max_model_len": 4096, "trust_remote_code": True, "enable-prefix-caching": False, "limit": '{"image": 8}'}
    flags = launch(engine(81, args=args), Gpu(0, 80.0)).command[8:]
    assert flags == (
        "--max-model-len=4096", "--trust-remote-code", "--no-enable-prefix-caching", '--limit={"image": 8}'
    )  # fmt: skip


def test_pictures_may_be_read_from_elsewhere_or_nowhere():
    args = {"allowed_local_media_path": "/data"}
    flags = launch(engine(81, args=args), Gpu(0, 80.0)).command
    assert [flag for flag in flags if "media" in flag] == ["--allowed-local-media-path=/data"]


def test_the_released_streams_template_is_a_file_of_ours_and_others_are_as_written():
    args = {"chat_template": "released_stream", "generation_config": "vllm"}
    flags = launch(engine(81, args=args), Gpu(0, 80.0)).command
    assert {f"--chat-template={STREAM_TEMPLATE}", "--generation-config=vllm"} <= set(flags)
    assert STREAM_TEMPLATE.is_file()
    assert (
        "--chat-template=mine.jinja" in launch(engine(81, args={"chat_template": "mine.jinja"}), Gpu(0, 80.0)).command
    )


@pytest.mark.parametrize("name", ["released", "released_augmented"])
def test_the_papers_orchestrator_is_served_with_the_stream_and_without_the_checkpoints_sampling(name):
    args = load_registry(name).orchestrator.serve.args
    assert (args["chat_template"], args["generation_config"]) == ("released_stream", "vllm")


def test_an_engine_over_several_gpus_needs_no_cluster():
    gpus = [Gpu(i, 80.0) for i in range(4)]
    flags = launch(engine(81, gpus=2, replicas=2), *gpus).command
    assert {"--tensor-parallel-size=2", "--data-parallel-size=2", "--distributed-executor-backend=mp"} <= set(flags)
    own = launch(engine(81, gpus=2, args={"distributed_executor_backend": "ray"}), *gpus[:2]).command
    assert [flag for flag in own if "backend" in flag] == ["--distributed-executor-backend=ray"]


def test_another_program_gets_the_place_and_the_names_and_keeps_its_braces():
    placed = engine(81, gpus=0, command=("mine", "--at={host}:{port}", "{model}", "{name}", '{"a": {"port": 1}}'))
    started = launch(placed, host="10.0.0.7")
    assert started.command == ("mine", "--at=10.0.0.7:81", "org/m81", "m81", '{"a": {"port": 1}}')
    assert started.environment["CUDA_VISIBLE_DEVICES"] == ""


def test_the_key_goes_through_the_environment_only():
    placed = engine(81)
    keyed = type(placed)(placed.endpoints, placed.host, placed.port, placed.names, placed.serve, "MY_KEY")
    started = launch(keyed, Gpu(0, 80.0), environment={"MY_KEY": "secret"})
    assert started.environment["VLLM_API_KEY"] == "secret"
    assert not any("secret" in word for word in started.command)
    assert "VLLM_API_KEY" not in launch(keyed, Gpu(0, 80.0)).environment


def test_gpus_may_have_other_names_than_planned():
    started = launch(engine(81), Gpu(0, 80.0, id="0"), visible=["6"])
    assert started.environment["CUDA_VISIBLE_DEVICES"] == "6"


def test_a_name_with_slashes_is_one_log_file():
    placed = engine(81)
    named = type(placed)(("a/../b",), placed.host, placed.port, placed.names, placed.serve)
    assert launch(named, Gpu(0, 80.0)).log_name == "a%2F..%2Fb.log"


def test_vllm_is_needed_only_by_who_names_no_program_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert find_vllm([engine(81, command=("mine", "{port}")).serve]) == ""
    with pytest.raises(UserError, match=r"vllm is neither beside this Python nor on PATH"):
        find_vllm([engine(81).serve])
    program = tmp_path / "vllm"
    program.write_text("")
    program.chmod(0o755)
    assert find_vllm([engine(81).serve]) == str(program)
