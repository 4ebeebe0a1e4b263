"""Variants of a registry: what each changes, and all that it leaves alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from small_worlds import registry_text, small_registry

from maestro_eval.records import Regime, RegistryVariant, UserError
from maestro_eval.registry import (
    Expert,
    Prompts,
    Registry,
    Skill,
    apply_variant,
    entry_hashes,
    load_registry,
    render_system,
    resolve,
    spelling,
    variant_text,
)
from maestro_eval.registry.resolve import fold
from maestro_eval.registry.variants import permute_entries, rename_experts

PROMPTS = Prompts("{% for e in experts %}{{ e.name }}: {{ e.description }}\n{% endfor %}", "{{ question }}")
NAMES = st.from_regex(r"[a-z][a-z0-9]{2,6}([-_. ][a-z0-9]{1,4}){0,2}", fullmatch=True)
WORDS = st.lists(st.sampled_from(["reads", "a", "Map", "and", "(", ")", "x-ray", "s", "é"]) | NAMES, max_size=8)


def expert(name: str, model: str, description: str, aliases: tuple[str, ...] = ()) -> Expert:
    """An expert that a file need not be able to say."""
    return Expert.model_construct(name=name, model=model, endpoint="e", description=description, aliases=aliases)


def registry_of(experts: Mapping[str, Expert], skills: Mapping[str, Skill] | None = None) -> Registry:
    some = skills or {"Ask": Skill(name="Ask", description="Ask plainly.", pipeline="ask", prompt="{{ request }}")}
    return Registry("r", "r.yaml", "", {}, dict(experts), {}, dict(some), PROMPTS)


@st.composite
def pools(draw: st.DrawFn) -> Registry:
    """Experts whose descriptions speak of each other, in various spellings."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique_by=fold))
    spellings = [name.upper() for name in names] + [name.replace("-", " ") for name in names] + names
    experts = {}
    for name in names:
        words = draw(WORDS) + draw(st.lists(st.sampled_from(spellings), max_size=3))
        experts[name] = expert(name, f"model of {name}", " ".join(draw(st.permutations(words))))
    return registry_of(experts)


def bundled_variant(**changes: object) -> Registry:
    return apply_variant(load_registry("embedded_augmented"), RegistryVariant(**changes))


# permute


@settings(max_examples=40)
@given(pools(), st.integers())
def test_another_order_has_the_same_entries_each_as_it_was(pool: Registry, seed: int) -> None:
    permuted = permute_entries(pool, seed)
    assert permuted.experts == pool.experts
    assert permuted.skills == pool.skills
    assert list(permuted.experts) == list(permute_entries(pool, seed).experts)


def test_every_order_is_about_as_likely() -> None:
    pool = registry_of({name: expert(name, name, name) for name in ("aaa", "bbb", "ccc")})
    orders = [tuple(permute_entries(pool, seed).experts) for seed in range(600)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    # 100 expected, standard deviation 9.1.
    assert min(counts) > 60
    assert max(counts) < 140


def test_another_order_is_another_prompt_and_another_registry() -> None:
    plain = load_registry("embedded_augmented")
    permuted = bundled_variant(permute=3)
    assert permuted.hash != plain.hash
    assert entry_hashes(permuted) == entry_hashes(plain)
    assert render_system(permuted, Regime()) != render_system(plain, Regime())
    assert permuted.services == plain.services


# rename


@settings(max_examples=40)
@given(pools())
def test_renaming_is_one_to_one_keeps_the_order_and_shows_no_name(pool: Registry) -> None:
    renamed = rename_experts(pool)
    assert list(renamed.renamed.values()) == list(pool.experts)
    assert list(renamed.renamed) == list(renamed.experts)
    assert len(set(renamed.renamed)) == len(pool.experts)
    shown = render_system(renamed, Regime())
    for neutral in sorted(renamed.experts, key=len, reverse=True):
        shown = shown.replace(neutral, "\0")
    for name in pool.experts:
        assert not re.search(spelling(name), shown, re.IGNORECASE)


@settings(max_examples=40)
@given(pools())
def test_what_is_asked_of_an_expert_does_not_change_with_its_name(pool: Registry) -> None:
    renamed = rename_experts(pool)
    for new, old in renamed.renamed.items():
        changed = {"name": old, "description": pool.experts[old].description, "aliases": pool.experts[old].aliases}
        assert renamed.experts[new].model_copy(update=changed) == pool.experts[old]


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("Better than Chart-R1 at maps.", "Better than expert-b at maps."),
        ("chart_r1, CHART R1 and ChartR1", "expert-b, expert-b and expert-b"),
        ("Chart-R1s and Chart-R1's", "expert-bs and expert-b's"),
        ("Chart-R10 and myChart-R1 are others", "Chart-R10 and myChart-R1 are others"),
        ("the plotter", "the expert-b"),
        ("Chart-R1 Pro is not Chart-R1", "expert-a is not expert-b"),
        ("Chart-\n  R1", "expert-b"),
    ],
)
def test_a_name_or_alias_in_a_description_becomes_the_neutral_one(text: str, becomes: str) -> None:
    experts = {
        "Chart-R1-Pro": expert("Chart-R1-Pro", "m", text),
        "Chart-R1": expert("Chart-R1", "n", "Reads.", aliases=("plotter",)),
    }
    skills = {"Chart-R1_Skill": Skill(name="Chart-R1_Skill", description=text, pipeline="ask", prompt="{{ request }}")}
    renamed = rename_experts(registry_of(experts, skills))
    assert renamed.experts["expert-a"].description == becomes
    assert renamed.skills["Chart-R1_Skill"].description == becomes


def test_neither_name_nor_alias_is_known_any_more(tmp_path: Path) -> None:
    plain = small_registry(tmp_path)
    renamed = rename_experts(plain)
    assert resolve(plain, "ocr", "Read_Text", "lenient").expert == "reader"
    assert resolve(renamed, "ocr", "Read_Text", "lenient").expert is None
    assert resolve(renamed, "reader", "Read_Text", "lenient").expert is None
    assert resolve(renamed, "Expert A", "Read_Text", "lenient").expert == "expert-a"


def test_a_template_that_names_an_expert_in_its_own_words_is_reworded_and_its_expressions_are_not() -> None:
    system = "Ask name first.\r\n{%- for name in experts %} {{ name.name }}{% endfor %}"
    plain = replace(registry_of({"name": expert("name", "m", "Reads.")}), prompts=Prompts(system, "{{ question }}"))
    assert render_system(rename_experts(plain), Regime()) == "Ask expert-a first. expert-a"


def test_a_template_that_names_nobody_stays_as_it_is_to_the_byte() -> None:
    system = "Ask.\r\n{%- for e in experts %} {{ e.name }}\r\n{%- endfor %}\r\n"
    plain = replace(registry_of({"eye": expert("eye", "m", "Reads.")}), prompts=Prompts(system, "{{ question }}"))
    assert rename_experts(plain).prompts.system == system


def test_a_template_that_prints_models_is_refused() -> None:
    plain = registry_of({"Chart-R1": expert("Chart-R1", "org/chart-r1", "Reads.")})
    shows = replace(plain, prompts=Prompts("{{ experts[0].name }} is {{ experts[0].model }}", "{{ question }}"))
    with pytest.raises(UserError, match=r"r\.yaml still shows 'Chart-R1'; have its template print"):
        rename_experts(shows)


def test_more_experts_than_letters_have_names_of_two() -> None:
    pool = registry_of({f"e{number:02}x": expert(f"e{number:02}x", "m", "Reads.") for number in range(28)})
    assert list(rename_experts(pool).experts)[24:] == ["expert-y", "expert-z", "expert-aa", "expert-ab"]


# without


def test_what_is_left_out_is_gone_and_nothing_else() -> None:
    plain = load_registry("embedded_augmented")
    left = bundled_variant(without=("geometer", "skills.OCR_Problem_Solver"))
    gone = {"experts.geometer", "skills.OCR_Problem_Solver"}
    assert entry_hashes(left) == {name: digest for name, digest in entry_hashes(plain).items() if name not in gone}
    assert "geometer" not in render_system(left, Regime())


def test_no_skill_fetches_the_evidence_of_a_service_that_is_left_out(tmp_path: Path) -> None:
    registry = small_registry(tmp_path, evidence="spotter, captioner")
    left = apply_variant(registry, RegistryVariant(without=("spotter",)))
    assert list(left.services) == ["captioner"]
    assert [[use.service for use in skill.evidence] for skill in left.skills.values()] == [["captioner"]] * 2
    augmented = apply_variant(load_registry("augmented"), RegistryVariant(without=("ocr",)))
    embodied = augmented.skills["Embodied_Scene_QA_Skill"]
    pointing, routes = (embodied.solvers[name].evidence for name in ("pointing_localization", "spatial_mechanics"))
    assert pointing is not None
    assert [use.service for use in pointing] == ["caption", "detection", "zoom"]
    # A solver without evidence of its own still has the skill's.
    assert routes is None


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("geometr",), "--without geometr: no expert, service or skill of embedded is called that; did you mean"),
        (("services.geometer",), "--without services.geometer: no expert, service or skill"),
        (("chart-reader", "geometer", "object-counter"), "--without: leaves no expert in embedded"),
    ],
)
def test_what_cannot_be_left_out_is_said_in_a_line(names: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        apply_variant(load_registry("embedded"), RegistryVariant(without=names))


def test_of_two_entries_of_one_name_it_must_be_said_which(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(registry_text().replace("spotter", "reader"))
    registry = load_registry(path)
    with pytest.raises(UserError, match=r"say experts\.reader or services\.reader"):
        apply_variant(registry, RegistryVariant(without=("reader",)))
    left = apply_variant(registry, RegistryVariant(without=("services.reader",)))
    assert "reader" in left.experts
    assert "reader" not in left.services


# together


def test_entries_are_left_out_first_and_then_renamed_and_then_permuted() -> None:
    both = bundled_variant(without=("chart-reader",), rename=True, permute=3)
    assert both.renamed == {
        "expert-a": "geometer", "expert-b": "object-counter", "expert-c": "ocr-reader", "expert-d": "diagram-inspector",
    }  # fmt: skip
    assert sorted(both.experts) == sorted(both.renamed)
    assert list(both.experts) != sorted(both.experts)


def test_no_variant_is_the_registry_itself() -> None:
    plain = load_registry("embedded")
    assert apply_variant(plain, RegistryVariant()) is plain
    assert variant_text(RegistryVariant()) == ""


def test_a_variant_in_words() -> None:
    assert variant_text(RegistryVariant(0, True, ("a", "b"))) == "without a, without b, renamed, permuted 0"
