"""GPUs as nvidia-smi and CUDA_VISIBLE_DEVICES tell of them."""

import pytest

from maestro_eval.records import UserError
from maestro_eval.serving import Gpu, described_gpus, detect_gpus

TWO = "0, GPU-aaaa-1, 81559\n1, GPU-bbbb-2, 81559\n"


def test_each_gpu_is_listed_with_its_memory():
    assert detect_gpus(environment={}, ask=lambda: TWO) == (Gpu(0, 79.6, "", "0"), Gpu(1, 79.6, "", "1"))
    assert detect_gpus(environment={}, ask=lambda: "") == ()


@pytest.mark.parametrize(
    ("visible", "indexes"), [("1", [1]), ("1, 0", [1, 0]), ("GPU-bbbb-2", [1]), ("GPU-bb", [1]), ("", [])]
)
def test_what_a_scheduler_hides_is_not_ours(visible, indexes):
    found = detect_gpus(environment={"CUDA_VISIBLE_DEVICES": visible}, ask=lambda: TWO)
    assert [gpu.index for gpu in found] == indexes


@pytest.mark.parametrize("visible", ["2", "MIG-1", "GPU-", "no"])
def test_a_name_that_means_no_gpu_is_one_line(visible):
    with pytest.raises(UserError, match=f"CUDA_VISIBLE_DEVICES names {visible}"):
        detect_gpus(environment={"CUDA_VISIBLE_DEVICES": visible}, ask=lambda: TWO)


def test_a_reply_that_is_no_list_is_one_line():
    with pytest.raises(UserError, match=r"nvidia-smi printed 'No devices were found', not a GPU; give --gpus"):
        detect_gpus(environment={}, ask=lambda: "No devices were found\n")


def test_without_nvidia_smi_there_is_no_gpu(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert detect_gpus(environment={}) == ()


def test_a_failing_nvidia_smi_is_told_with_its_words(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVML: Driver mismatch'; exit 18\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(UserError, match=r"nvidia-smi fails \(NVML: Driver mismatch\)"):
        detect_gpus(environment={})


def test_described_gpus_have_the_names_that_are_visible():
    assert [gpu.id for gpu in described_gpus(2, 24, {"CUDA_VISIBLE_DEVICES": "5,7"})] == ["5", "7"]
    assert [gpu.id for gpu in described_gpus(2, 24, {})] == ["0", "1"]
