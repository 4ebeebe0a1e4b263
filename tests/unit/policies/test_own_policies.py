"""A policy of somebody else's: a class or a function, by module or by entry point; its code is part of the run."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from small_worlds import small_registry

from maestro_eval.models import ExpertClient
from maestro_eval.policies import Policy, ResidentPolicy, check_policy, make_policy, own_code, read_policy, turns_of
from maestro_eval.records import Message, RolloutFailure, RolloutKey, Sampling, TextPart, UserError
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
ASK_READER = "<search> reader@@Read_Text: How many? </search>"
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
        ("stranger.policies:Gone", "policies.py has no Gone; it has Guesser, NUMBER, Reader, guesser, nothing"),
        ("stranger.policies:Gueser", "policies.py has no Gueser; did you mean 'Guesser'?"),
        ("stranger.policies", "explore, first, or module:Class"),
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


WRONG = """
from contextlib import asynccontextmanager

from maestro_eval.policies import Pair
from maestro_eval.records import Completion


class Base:
    model = "wrong"

    def __init__(self, registry):
        self.registry = registry

    async def generate(self, messages, sampling):
        return Completion("<answer> 42 </answer>")


class DefaultSecond(Base):
    def __init__(self, registry, how_many=2):
        self.model = f"{how_many}"


class Client(Base):
    def __init__(self, registry, how_many=2, client=None):
        self.model = f"{how_many} {type(client).__name__}"


class SecondRequired(Base):
    def __init__(self, registry, models):
        self.model = type(models).__name__


class Three(Base):
    def __init__(self, registry, a, b): ...


class InitRaises(Base):
    def __init__(self, registry):
        raise KeyError("nope")


def raises(registry):
    raise ValueError("two\\nlines")


class Raises(Base):
    async def generate(self, messages, sampling):
        raise ZeroDivisionError("oops")


class RaisesBelow(Base):
    async def generate(self, messages, sampling):
        return float("one")


class Text(Base):
    async def generate(self, messages, sampling):
        return "<answer> 42 </answer>"


class NotAsync(Base):
    def generate(self, messages, sampling):
        return Completion("<answer> 42 </answer>")


class Chooses:
    model = "wrong"

    def __init__(self, registry): ...

    def choose(self, question, seed):
        return [Pair("reader", "Read_Text")][seed]


class Sessions(Base):
    @asynccontextmanager
    async def rollout(self, key):
        raise ConnectionError("no session is free")
        yield


class GoodSessions(Base):
    @asynccontextmanager
    async def rollout(self, key):
        yield Raises(self.registry)


class Resident(Base):
    lost = False

    async def open(self): ...

    async def close(self): ...
"""


PAGE = Path(__file__).resolve().parents[3] / "docs" / "baselines.md"


@pytest.mark.skipif(not PAGE.exists(), reason="docs/ is not in this checkout")
async def test_the_documented_policies_decide(tmp_path: Path) -> None:
    first, majority = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    shown = list(QUESTION)
    said = []
    with installed(tmp_path / "path", {"mypolicies/first.py": first, "mypolicies/majority.py": majority}):
        async with ExpertClient() as client:
            policy = await make_policy("mypolicies.first:First", small_registry(tmp_path), client)
            assert (await policy.generate(QUESTION, Sampling())).text == ASK_READER
            policy = await make_policy("mypolicies.majority:Majority", small_registry(tmp_path), client)
            for reply in ("Answer: 4", "I think so.", ""):
                said.append((await policy.generate(shown, Sampling())).text)
                shown.append(Message("user", (TextPart(reply, "observation"),)))
    assert said == [ASK_READER, "<search> counter@@Read_Text: How many? </search>", "<answer> 4 </answer>"]


def line_of(code: str) -> int:
    return next(number for number, line in enumerate(WRONG.splitlines(), 1) if code in line)


@asynccontextmanager
async def wrong(tmp_path: Path, name: str) -> AsyncIterator[Policy]:
    with installed(tmp_path / "path", {"wrong.py": WRONG}):
        async with ExpertClient() as client:
            yield await make_policy(f"wrong:{name}", small_registry(tmp_path), client)


@pytest.mark.parametrize(
    ("name", "model"),
    [("DefaultSecond", "2"), ("Client", "2 ExpertClient"), ("SecondRequired", "ExpertClient")],
)
async def test_only_who_asks_for_a_client_is_given_one(tmp_path: Path, name: str, model: str) -> None:
    async with wrong(tmp_path, name) as policy:
        assert policy.model == model


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Three", "takes (registry, a, b); expected (registry) or (registry, client)"),
        ("InitRaises", f"its __init__ raised KeyError: 'nope' (wrong.py:{line_of('KeyError')})"),
        ("raises", f"it raised ValueError: two lines (wrong.py:{line_of('ValueError')})"),
    ],
)
async def test_a_policy_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        async with wrong(tmp_path, name):
            pass
    assert str(caught.value) == f"--policy wrong:{name}: {says}"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Raises", f"ZeroDivisionError: oops (wrong.py:{line_of('oops')})"),
        ("RaisesBelow", f"ValueError: could not convert string to float: 'one' (wrong.py:{line_of('float(')})"),
        ("Chooses", f"IndexError: list index out of range (wrong.py:{line_of('[seed]')})"),
        ("Text", "generate returned str; expected Completion"),
        ("NotAsync", "generate is not async; write async def generate"),
        ("Sessions", f"ConnectionError: no session is free (wrong.py:{line_of('no session')})"),
        ("GoodSessions", f"ZeroDivisionError: oops (wrong.py:{line_of('oops')})"),
    ],
)
async def test_what_goes_wrong_in_a_policy_is_the_policys(tmp_path: Path, name: str, says: str) -> None:
    async with wrong(tmp_path, name) as policy:
        with pytest.raises(RolloutFailure) as caught:
            async with turns_of(policy, RolloutKey("t", "1", 0)) as turns:
                await turns.generate(QUESTION, Sampling(seed=7))
    assert (caught.value.cause, caught.value.detail) == ("policy", f"wrong:{name}: {says}")


async def test_a_policy_with_a_model_of_its_own_is_still_opened_and_closed(tmp_path: Path) -> None:
    async with wrong(tmp_path, "Resident") as policy:
        assert isinstance(policy, ResidentPolicy)
        assert not policy.lost
    async with wrong(tmp_path, "DefaultSecond") as policy:
        assert not isinstance(policy, ResidentPolicy)
