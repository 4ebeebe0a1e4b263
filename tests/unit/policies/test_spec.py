"""Which checkpoint a policy holds, and with which settings."""

import msgspec
import pytest

from maestro_eval.policies.spec import TRANSFORMERS_SETTINGS as TRANSFORMERS
from maestro_eval.policies.spec import VLLM_SETTINGS as VLLM
from maestro_eval.policies.spec import Checkpoint, described, lasting_policy, read_checkpoint, require_package
from maestro_eval.records import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tiny"


def test_settings_are_read_by_their_types(folder):
    spec = f"vllm:{folder}?max_model_len=4096&gpu_memory_utilization=0.5&enforce_eager=true&dtype=float32"
    assert read_checkpoint(spec, VLLM).settings == {
        "max_model_len": 4096,
        "gpu_memory_utilization": 0.5,
        "enforce_eager": True,
        "dtype": "float32",
    }


def test_a_folder_is_written_in_full_and_a_hub_name_as_it_is(folder):
    assert read_checkpoint("vllm:./tiny", VLLM) == Checkpoint(str(folder), {})
    assert read_checkpoint("vllm:tiny", VLLM).local
    hub = read_checkpoint("vllm:Qwen/Qwen3-VL-4B-Instruct", VLLM)
    assert (hub.model, hub.local) == ("Qwen/Qwen3-VL-4B-Instruct", False)


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ("", "expected vllm:MODEL_OR_PATH"),
        ("?dtype=auto", "expected vllm:MODEL_OR_PATH"),
        ("tiny?max_model_length=1", "unknown setting 'max_model_length'; did you mean 'max_model_len'?"),
        ("tiny?trust_remote_code=true", "unknown setting 'trust_remote_code'; it takes max_model_len, "),
        ("tiny?max_model_len=long", "max_model_len takes a whole number, not 'long'"),
        ("tiny?enforce_eager=maybe", "enforce_eager takes true or false, not 'maybe'"),
        ("tiny?max_model_len", "after the ? come settings as KEY=VALUE"),
        ("./nowhere", "./nowhere: no such folder"),
        ("/nowhere/at/all", "/nowhere/at/all: no such folder"),
        ("a/b/c", "a/b/c: no such folder"),
        (".", "has no config.json"),
    ],
)
def test_a_wrong_argument_is_one_line_that_says_what_mends_it(folder, rest, says):
    with pytest.raises(UserError) as caught:
        read_checkpoint(f"vllm:{rest}", VLLM)
    message = str(caught.value)
    assert message.startswith(f"--policy vllm:{rest}: ")
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize("allowed", [VLLM, TRANSFORMERS])
def test_nothing_that_runs_a_checkpoints_code_can_be_set(allowed):
    assert not {name for name in allowed if "remote" in name or "trust" in name or "plugin" in name}


def test_an_argument_is_made_lasting(folder):
    assert lasting_policy("vllm:./tiny?dtype=auto") == f"vllm:{folder}?dtype=auto"
    assert lasting_policy("transformers:tiny") == f"transformers:{folder}"
    for other in ("router", "openai:http://host/v1?x=./tiny", "vllm:Qwen/Qwen3-VL-4B-Instruct", "vllm:", ""):
        assert lasting_policy(other) == other


def test_a_snapshot_is_described_with_its_commit(tmp_path):
    snapshot = tmp_path / "snapshots" / COMMIT
    assert described(Checkpoint(str(snapshot), {})) == f"{snapshot}@{COMMIT}"
    assert described(Checkpoint(str(tmp_path / "tiny"), {})) == str(tmp_path / "tiny")


def test_a_missing_package_is_named_with_the_extra_that_brings_it():
    with pytest.raises(UserError, match=r"--policy vllm:m: no_such is not installed; pip install 'maestro-eval\[vllm"):
        require_package("vllm:m", "no_such", "vllm")
    require_package("vllm:m", msgspec.__name__, "vllm")
