"""A pipeline of somebody else's: found by module and by entry point, its options checked, its code in every hash."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_worlds import registry_text

from maestro_eval.records import UserError
from maestro_eval.registry import PIPELINES, Registry, check_pipelines, load_registry
from tests.plugin_worlds import installed

MODULE = """
from pydantic import BaseModel

from maestro_eval.registry import Pipeline


class Options(BaseModel):
    rounds: int = 1


async def agree(context):
    return "ANSWER"


AGREE = Pipeline(agree, options=Options, runs_code=True)
"""
POINTS = "[maestro_eval.pipelines]\nagree = stranger.skills:AGREE\n"


def world(folder: Path, *, answer: str = "yes") -> dict[str, str]:
    return {"stranger/__init__.py": "", "stranger/skills.py": MODULE.replace("ANSWER", answer)}


def registry(folder: Path, pipeline: str, options: str = "{}") -> Registry:
    skill = f"  Mine: {{description: d, pipeline: '{pipeline}', options: {options}}}\n"
    path = folder / "small.yaml"
    path.write_text(registry_text(more=skill))
    return load_registry(path)


@pytest.mark.parametrize(("name", "runs_code"), [("stranger.skills:agree", False), ("agree", True)])
async def test_a_pipeline_is_a_function_or_an_object(tmp_path: Path, name: str, runs_code: bool) -> None:
    with installed(tmp_path / "path", world(tmp_path), POINTS):
        check_pipelines(registry(tmp_path, name))
        found = PIPELINES.find(name)
        assert (await found.run(None), found.runs_code) == ("yes", runs_code)


def test_options_keep_their_types(tmp_path: Path) -> None:
    read = registry(tmp_path, "stranger.skills:agree", "{rounds: 3, strict: true, share: 0.5, mode: fast}")
    options = read.skills["Mine"].options
    assert options == {"rounds": 3, "strict": True, "share": 0.5, "mode": "fast"}
    assert [type(value) for value in options.values()] == [int, bool, float, str]


def test_the_hash_of_a_registry_covers_the_code_of_a_pipeline(tmp_path: Path) -> None:
    hashes = []
    for number, answer in enumerate(("yes", "no", "yes")):
        with installed(tmp_path / str(number), world(tmp_path, answer=answer)):
            hashes.append(registry(tmp_path, "stranger.skills:agree").hash)
    assert hashes[0] == hashes[2] != hashes[1]


def test_a_hash_is_of_the_code_that_was_there_when_it_was_first_asked_for(tmp_path: Path) -> None:
    with installed(tmp_path / "path", world(tmp_path)):
        before = registry(tmp_path, "stranger.skills:agree").hash
        PIPELINES.find("stranger.skills:agree")
        (tmp_path / "path" / "stranger" / "skills.py").write_text("changed while it runs")
        assert registry(tmp_path, "stranger.skills:agree").hash == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("{ruonds: 2}", "options: ruonds: unknown option; did you mean 'rounds'?"),
        ("{rounds: many}", "options: rounds: Input should be a valid integer"),
    ],
)
def test_its_options_are_checked_by_its_own_model(tmp_path: Path, options: str, says: str) -> None:
    with installed(tmp_path / "path", world(tmp_path), POINTS), pytest.raises(UserError) as caught:
        check_pipelines(registry(tmp_path, "agree", options))
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'small.yaml'}:")
