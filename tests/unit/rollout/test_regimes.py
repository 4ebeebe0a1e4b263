"""The regimes by name, changed field by field."""

from pathlib import Path

import msgspec
import pytest
from former_regimes import PAPER
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.records import Regime, Sampling, UserError
from maestro_eval.rollout import DEFAULT, REGIMES, RELEASED, check_regime, choose_regime, differing, settle_sampling

DOCUMENT = Path(__file__).parents[3] / "docs/regimes.md"
FIELDS = [name for name in Regime.__struct_fields__ if name != "name"]


def test_a_regime_is_chosen_by_name():
    assert choose_regime("default") == DEFAULT == Regime()
    assert choose_regime("released") == RELEASED
    with pytest.raises(UserError, match="--regime papre: unknown; there are default, released"):
        choose_regime("papre")


def test_a_former_name_is_the_regime_of_its_present_one():
    assert choose_regime("paper") == RELEASED
    assert choose_regime("paper", ["max_turns=3"]).name == "released + max_turns"


def test_an_earlier_manifests_regime_stays_in_the_chat_style():
    kept = msgspec.to_builtins(PAPER)
    for field in ("style", "retokenize", "scored_tokens", "top_k", "repetition_penalty"):
        del kept[field]
    assert msgspec.convert(kept, Regime) == PAPER
    assert (PAPER.name, PAPER.style) == ("paper", "chat")


@pytest.mark.parametrize("change", ["prefer=answer", "unusable=explain", "max_searches=2"])
def test_a_rule_that_the_released_style_does_not_read_is_not_changed(change):
    with pytest.raises(UserError, match="the released style has its own rule for it"):
        choose_regime("released", [change])
    with pytest.raises(UserError, match="the released style has its own rule for it"):
        choose_regime("default", [change, "style=released"])


def test_the_released_style_counts_in_tokens_of_a_model():
    with pytest.raises(UserError, match=r"--regime-set tokenizer=PATH") as caught:
        check_regime(choose_regime("released", ["tokenizer=estimate"]))
    assert "\n" not in str(caught.value)


def test_what_differs_from_the_released_regime_is_named():
    assert differing(RELEASED) == ()
    assert differing(choose_regime("released", ["neutralise=true", "max_turns=3"])) == ("max_turns", "neutralise")
    assert "style" in differing(DEFAULT)


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("max_turns=7", "max_turns", 7),
        ("neutralise=true", "neutralise", True),
        ("names = exact", "names", "exact"),
        ("first_turn_tail=null", "first_turn_tail", None),
        ("temperature=0.6", "temperature", 0.6),
    ],
)
def test_one_field_is_changed_and_the_name_tells_it(change, field, value):
    changed = choose_regime("released", [change])
    assert changed == msgspec.structs.replace(RELEASED, name=f"released + {field}", **{field: value})


def test_the_file_of_the_policys_own_tokenizer_is_no_other_rule():
    chosen = choose_regime("released", ["tokenizer=/a=b/tokenizer.json"])
    assert (chosen.name, chosen.tokenizer, differing(chosen)) == ("released", "/a=b/tokenizer.json", ())
    assert choose_regime("default", ["tokenizer=/t.json"]).name == "default + tokenizer"


def test_a_list_is_written_with_commas():
    assert choose_regime("default", ["prefer=answer"]).prefer == ("answer",)
    assert choose_regime("default", ["prefer=first, answer"]).prefer == ("first", "answer")


def test_several_fields_are_changed_and_what_is_as_before_is_not_named():
    changed = choose_regime("released", ["names=exact", "max_turns=5", "top_p=null"])
    assert (changed.names, changed.top_p) == ("exact", None)
    assert changed.name == "released + names, top_p"


def test_a_tokenizers_path_is_kept_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert choose_regime("default", ["tokenizer=t.json"]).tokenizer == str(tmp_path / "t.json")
    assert choose_regime("released", ["tokenizer=policy"]).tokenizer == "policy"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["max_turn=7"], "max_turn=7: expected FIELD=VALUE with a field of style, max_turns, max_searches, "),
        (["name=mine"], "name=mine: expected FIELD=VALUE with a field of "),
        (["max_turns"], "max_turns: expected FIELD=VALUE"),
        (["max_turns=many"], "max_turns=many: Expected `int`"),
        (["max_turns=0"], "max_turns=0: Expected `int` >= 1"),
        (["first_turn_tail=-1"], "first_turn_tail=-1: Expected `int` >= 0"),
        (["neutralise=maybe"], "neutralise=maybe: it takes true, false"),
        (["names=loose"], "names=loose: it takes exact, lenient, released"),
        (["prefer=last"], "prefer=last: it takes first, first_search, last_search, answer"),
        (["prefer="], "prefer=: it takes first, "),
        (["top_p=nan"], "top_p=nan: Expected `float`"),
        (["max_turns=3", "max_turns=4"], "max_turns=4: max_turns is given twice"),
    ],
)
def test_a_change_that_cannot_be_is_one_line(changes, says):
    with pytest.raises(UserError) as caught:
        choose_regime("default", changes)
    assert str(caught.value).startswith(f"--regime-set {says}")
    assert "\n" not in str(caught.value)


@given(st.text() | st.tuples(st.sampled_from([*FIELDS, "name"]), st.text()).map("=".join))
def test_any_change_is_a_sound_regime_or_the_users_to_mend(change):
    try:
        changed = choose_regime("default", [change])
    except UserError:
        return
    assert msgspec.json.decode(msgspec.json.encode(changed), type=Regime) == changed


@pytest.mark.parametrize("regime", REGIMES.values(), ids=REGIMES)
def test_the_regimes_are_sound(regime):
    check_regime(regime)


@pytest.mark.parametrize(
    ("regime", "says"),
    [
        (Regime(prefer=()), "prefer"),
        (Regime(max_turns=0), "max_turns"),
        (Regime(tokenizer="/nowhere/tokenizer.json"), "no such file"),
    ],
)
def test_an_unsound_regime_is_refused_before_anything_runs(regime, says):
    with pytest.raises(UserError, match=says):
        check_regime(regime)


def test_the_users_sampling_comes_before_the_regimes():
    released = Sampling(1.0, 1.0, 8192, top_k=-1, repetition_penalty=1.0)
    assert settle_sampling(Sampling(temperature=None), RELEASED) == released
    assert settle_sampling(Sampling(temperature=None), DEFAULT) == Sampling(0.0)
    given_by_user = Sampling(
        temperature=0.0, top_p=0.5, max_tokens=7, seed=3, stop=("x",), top_k=5, repetition_penalty=1.1
    )
    assert settle_sampling(given_by_user, RELEASED) == given_by_user


def test_the_document_lists_every_field_with_its_values():
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split(" | ")]
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith("| `")
    ]
    assert [row[0] for row in rows] == FIELDS
    for field, default, released, why in rows:
        for regime, value in ((DEFAULT, default), (RELEASED, released)):
            if value == "–":
                with pytest.raises(UserError, match="its own rule"):
                    choose_regime(regime.name, [f"{field}={default}"])
                continue
            documented = choose_regime(regime.name, [f"{field}={value}"])
            assert documented == regime, f"{field} is {getattr(regime, field)} in {regime.name}, not {value}"
        assert why
