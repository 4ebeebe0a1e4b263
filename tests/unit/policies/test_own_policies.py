"""A policy of somebody else's: a class or a function, by module or by entry point; its code is part of the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_worlds import small_registry

from maestro_eval.models import ExpertClient
from maestro_eval.policies import check_policy, make_policy, own_code, read_policy
from maestro_eval.records import Message, Sampling, TextPart, UserError
from tests.plugin_worlds import installed

MODULE = """
from maestro_eval.policies import Pair
from maestro_eval.records import Completion


class Reader:
    model = "always the first expert"

    def __init__(self, registry):
        self._registry = registry

    def choose(self, question, seed):
        return [Pair(next(iter(self._registry.experts)), next(iter(self._registry.skills)))]


def guesser():
    return Guesser()


class Guesser:
    model = "guesser"

    async def generate(self, messages, sampling):
        return Completion("<answer> 42 </answer>")


NUMBER = 7


def nothing():
    return NUMBER
"""
QUESTION = (Message("user", (TextPart("How many?", "question"),)),)
POINTS = "[maestro_eval.policies]\nfirst = stranger.policies:Reader\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stranger.policies:guesser", "<answer> 42 </answer>"),
        ("stranger.policies:Reader", "<search> reader@@Read_Text: How many? </search>"),
        ("first", "<search> reader@@Read_Text: How many? </search>"),
    ],
)
async def test_a_policy_is_found_and_made(tmp_path: Path, text: str, said: str) -> None:
    with installed(tmp_path / "path", {"stranger/__init__.py": "", "stranger/policies.py": MODULE}, POINTS):
        registry = small_registry(tmp_path)
        check_policy(text, registry)
        async with ExpertClient() as client:
            policy = await make_policy(text, registry, client)
        assert (await policy.generate(QUESTION, Sampling())).text == said
        assert read_policy(text).is_orchestrator
        assert own_code(text)
    assert own_code("random") == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stranger.policies:NUMBER", "is not a class or a function that makes a policy"),
        ("stranger.policies:Gone", "cannot be imported"),
        (
            "frist",
            "unknown kind 'frist'; did you mean 'first'?",
        ),
        ("opnai:http://a:1", "unknown kind 'opnai'; did you mean 'openai'?"),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    with (
        installed(tmp_path / "path", {"stranger/__init__.py": "", "stranger/policies.py": MODULE}, POINTS),
        pytest.raises(UserError) as caught,
    ):
        check_policy(text, small_registry(tmp_path))
    assert str(caught.value).startswith(f"--policy {text}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_what_a_factory_makes_must_be_a_policy(tmp_path: Path) -> None:
    with installed(tmp_path / "path", {"stranger/__init__.py": "", "stranger/policies.py": MODULE}):
        async with ExpertClient() as client:
            with pytest.raises(UserError, match="makes a int; expected an object with model and generate"):
                await make_policy("stranger.policies:nothing", small_registry(tmp_path), client)
