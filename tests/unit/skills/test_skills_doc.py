"""The examples of docs/skills.md, taken from it and run."""

import re
from pathlib import Path

import pytest

from maestro_eval.models import ExpertClient
from maestro_eval.registry import PIPELINES, load_registry
from maestro_eval.testing import SimulatedServer
from tests.unit.skills.skill_worlds import Cast, World, bound, drawn, run_skill

DOC = Path(__file__).parents[3] / "docs" / "skills.md"
PAGE = drawn()


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """The folder with each file that the document names right before a block."""
    named = re.findall(r"`([a-z_]+\.(?:yaml|j2|py))`[^`]*:\n\n```\w+\n(.*?)```", DOC.read_text(), re.DOTALL)
    for name, text in named:
        (tmp_path / name).write_text(text)
    assert {name for name, _ in named} == {"my_registry.yaml", "receipt_total.j2", "my_skills.py", "agreeing.yaml"}
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


async def use(path: Path, skill: str, cast: Cast, request: str):
    async with SimulatedServer(reply=cast) as server, ExpertClient() as client:
        world = World(bound(load_registry(path), server.url), client, server, cast)
        return await run_skill(world.context(skill, PAGE, request=request, question="?"))


@pytest.mark.parametrize(
    ("request_", "notes", "services", "prompt"),
    [
        ("What was the total?", "solver: total", ["ocr", "zoom"], "Read by ocr: TOTAL 9.80"),
        ("Which items were bought?", "solver: line_items", ["ocr"], "Reported by ocr for image 1"),
        ("Where is the shop?", "solver: line_items", ["ocr"], "Reported by ocr for image 1"),
    ],
)
async def test_the_skill_in_yaml_works_as_described(examples, request_, notes, services, prompt):
    cast = Cast("Answer: 9.80")
    cast.plays("GLM-OCR", "TOTAL 9.80")
    cast.plays("DeepEyes-7B", '{"bbox_2d": [10, 10, 90, 90]}')
    result = await use(examples / "my_registry.yaml", "Receipt_Skill", cast, request_)
    assert (result.text, result.failure, result.notes) == ("Answer: 9.80", None, (notes,))
    assert [call.name for call in result.calls if call.kind == "service"] == services
    assert prompt in cast.heard[-1].text


@pytest.mark.parametrize(
    ("replies", "text", "notes"),
    [
        (["so\nAnswer: 4", "yes\nAnswer: 4"], "so\nAnswer: 4", ()),
        (
            ["Answer: 4", "Answer: 5"],
            "Two replies that differ.\nFirst: Answer: 4\nSecond: Answer: 5",
            ("the two replies differ",),
        ),
    ],
)
async def test_the_skill_in_python_works_as_described(examples, replies, text, notes):
    cast = Cast("words")
    cast.plays("Intern-S1-mini", replies)
    result = await use(examples / "agreeing.yaml", "Careful_Skill", cast, "How many?")
    assert (result.text, result.failure, result.notes) == (text, None, notes)
    assert [call.name for call in result.calls] == ["ocr", "Intern-S1-mini", "Intern-S1-mini"]


def test_every_bundled_pipeline_is_in_the_table():
    listed = re.findall(r"^\| `(\w+)`", DOC.read_text().partition("## Prompts")[0], re.MULTILINE)
    assert listed == list(PIPELINES.bundled)
