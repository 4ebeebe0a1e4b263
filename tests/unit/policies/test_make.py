"""What ``--policy`` takes, and what it says of the rest."""

import pytest
from small_worlds import small_registry

from maestro_eval.models import ExpertClient
from maestro_eval.policies import ResidentPolicy, check_policy, make_policy, read_policy
from maestro_eval.policies.baselines import CallerPolicy
from maestro_eval.records import Regime, Sampling, UserError
from maestro_eval.rollout import RELEASED


@pytest.fixture
def registry(tmp_path):
    return small_registry(tmp_path)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("ruoter", "unknown kind 'ruoter'; did you mean 'router'?"),
        ("zzzz", "unknown kind 'zzzz'; known: openai, vllm, transformers, router, random, fixed, direct, explore"),
        ("", "unknown kind ''"),
        ("router:fast", "expected router or router:bm25"),
        ("random:1", "random takes nothing after it"),
        ("openai", "expected openai:URL"),
        ("openai:127.0.0.1:8000", "expected openai:URL"),
        ("direct", "no expert ''"),
        ("direct:nobody", "no expert 'nobody' in small; it has reader, counter"),
        ("fixed:reader", "expected fixed:EXPERT@@SKILL"),
        ("fixed:nobody@@Read_Text", "no expert 'nobody' in small; it has reader, counter"),
        ("fixed:reader@@Nothing", "no skill 'Nothing' in small; did you mean 'Count_Things'?"),
    ],
)
def test_a_wrong_argument_is_one_line_that_says_what_mends_it(registry, spec, says):
    with pytest.raises(UserError) as caught:
        check_policy(spec, registry)
    message = str(caught.value)
    assert message.startswith(f"--policy {spec}: ")
    assert says in message
    assert "\n" not in message


def test_direct_is_refused_where_the_first_turn_may_not_answer(registry):
    asks_first = Regime(name="mine", answer_at_first_turn=False)
    with pytest.raises(
        UserError, match=r"--policy direct:reader: .* regime 'mine' refuses; take --regime-set \S+=true"
    ):
        check_policy("direct:reader", registry, asks_first)
    with pytest.raises(UserError, match="'released' refuses; take --regime default, or fixed"):
        check_policy("direct:reader", registry, RELEASED)
    check_policy("direct:reader", registry, Regime())
    check_policy("fixed:reader@@Read_Text", registry, asks_first)


@pytest.mark.parametrize(
    "spec",
    [
        "router",
        "random",
        "fixed:reader@@Read_Text",
        "fixed:OCR@@read-text",
        "direct:reader",
        "direct:ocr",
        "openai:http://127.0.0.1:8000",
        "openai:https://host/v1#Qwen/Qwen3-VL:8b",
    ],
)
def test_good_arguments_pass(registry, spec):
    check_policy(spec, registry)


async def test_baselines_are_made_without_an_endpoint(registry):
    async with ExpertClient() as client:
        policy = await make_policy("fixed:OCR@@read-text", registry, client)
        assert isinstance(policy, CallerPolicy)
        assert (await make_policy("random", registry, client)).model == "random"
        assert (await make_policy("direct:ocr", registry, client)).model == "reader-model"
        assert (await make_policy("openai:http://127.0.0.1:9#m", registry, client)).model == "m"
        with pytest.raises(UserError, match="did you mean"):
            await make_policy("ruoter", registry, client)


@pytest.mark.parametrize("spec", ["router", "transformers:Qwen/Qwen3-VL-4B-Instruct", "direct:reader"])
def test_only_engines_that_can_constrain_a_turn_are_asked_to(registry, spec, monkeypatch):
    monkeypatch.setattr("maestro_eval.policies.spec.require_package", lambda *_: None)
    check_policy(spec, registry, sampling=Sampling())
    with pytest.raises(UserError, match="--turn-regex needs an engine that constrains turns; take vllm: or openai:"):
        check_policy(spec, registry, sampling=Sampling(regex="a"))
    check_policy("openai:http://127.0.0.1:9#m", registry, sampling=Sampling(regex="a"))


@pytest.mark.parametrize("kind", ["vllm", "transformers"])
async def test_a_policy_with_its_own_model_is_made_without_loading_it(registry, kind, tmp_path, monkeypatch):
    monkeypatch.setattr("maestro_eval.policies.spec.require_package", lambda *_: None)
    (tmp_path / "config.json").write_text("{}")
    async with ExpertClient() as client:
        policy = await make_policy(f"{kind}:{tmp_path}?max_model_len=64", registry, client)
    assert isinstance(policy, ResidentPolicy)
    assert (policy.model, policy.lost) == (str(tmp_path), False)
    assert read_policy(f"{kind}:{tmp_path}").addresses == ()
    await policy.close()


def test_several_addresses_of_one_policy_are_all_looked_at():
    assert read_policy("openai:http://a:1|http://b:2/v1#m").addresses == ("http://a:1/v1", "http://b:2/v1")


def test_each_address_must_be_one(registry):
    with pytest.raises(UserError, match="expected openai:URL"):
        check_policy("openai:http://a:1|b:2", registry)
