"""An explore run's arms: every expert through every skill that asks otherwise, and alone."""

import pytest
from former_regimes import PAPER
from small_worlds import small_registry

from maestro_eval.models import ExpertClient
from maestro_eval.policies import RolloutPolicy, arms_of, check_policy, make_policy, read_policy
from maestro_eval.records import Arm, Message, RolloutFailure, RolloutKey, Sampling, SearchAction, TextPart, UserError
from maestro_eval.registry import user_message
from maestro_eval.rollout import parse_action

MORE = """
  Read_Again: {description: Words once more., prompt: prompts/ask.j2}
  Own_Way: {description: By a program of ours., pipeline: "skills_of_ours:pipeline"}
  Own_Way_Too: {description: By the same program., pipeline: "skills_of_ours:pipeline"}
"""


def test_the_arms_are_all_pairs_then_all_experts_alone(tmp_path):
    registry = small_registry(tmp_path)
    assert [arm.policy for arm in arms_of(read_policy("explore"), registry)] == [
        "fixed:reader@@Read_Text",
        "fixed:reader@@Count_Things",
        "fixed:counter@@Read_Text",
        "fixed:counter@@Count_Things",
        "direct:reader",
        "direct:counter",
    ]
    assert arms_of(read_policy("random"), registry) == ()


def test_skills_that_ask_alike_are_one_arm_but_never_an_authors_own_pipelines(tmp_path):
    registry = small_registry(tmp_path, more=MORE)
    arms = [arm for arm in arms_of(read_policy("explore"), registry) if arm.policy.startswith("fixed:reader")]
    assert arms == [
        Arm("fixed:reader@@Read_Text", ("fixed:reader@@Read_Again",)),
        Arm("fixed:reader@@Count_Things"),
        Arm("fixed:reader@@Own_Way"),
        Arm("fixed:reader@@Own_Way_Too"),
    ]


async def test_the_repeat_says_which_arm_decides(tmp_path):
    registry = small_registry(tmp_path)
    messages = [Message("system", (TextPart("x"),)), user_message(registry, "What?", [])]
    async with ExpertClient() as client:
        policy = await make_policy("explore", registry, client)
        assert isinstance(policy, RolloutPolicy)
        said = []
        for repeat in range(4):
            async with policy.rollout(RolloutKey("signs", "s1", repeat)) as arm:
                said.append(parse_action((await arm.generate(messages, Sampling())).text))
        assert said[3] == SearchAction("counter", "Count_Things", "What?")
        assert len({action.expert + action.skill for action in said}) == 4
        async with policy.rollout(RolloutKey("signs", "s1", 4)) as arm:
            assert arm.model == "reader-model"
        with pytest.raises(RolloutFailure, match="by the rollout"):
            await policy.generate(messages, Sampling())


def test_it_takes_nothing_after_it_and_needs_a_first_turn_that_may_answer(tmp_path):
    registry = small_registry(tmp_path)
    with pytest.raises(UserError, match="explore takes nothing after it"):
        check_policy("explore:reader", registry)
    with pytest.raises(UserError, match=r"has arms that answer in the first turn.*answer_at_first_turn=true"):
        check_policy("explore", registry, PAPER)
