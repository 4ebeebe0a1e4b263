"""The whole report: what it holds, what it refuses and what it says beside its numbers."""

from __future__ import annotations

import pytest
from msgspec.structs import asdict, replace
from unit.analysis.analysis_runs import task_record
from unit.analysis.swap.swap_runs import BASE, CHART, EAR, LARGE, MATHS, NEW, OLD, SIGNS, run, uses

from maestro_eval.analysis import Bounds, Contrast, compare
from maestro_eval.analysis.swap import new_entries, swap_report
from maestro_eval.analysis.swap.swap import domain_of
from maestro_eval.records import ContrastSpec, RegistryVariant, UserError

N = 40
GROUPS = {"maestro_mini_main": (CHART.name, MATHS.name), "maestro_mini_ood": (SIGNS.name,)}
BEFORE = run("base", BASE, {CHART.name: [1.0, 0.0] * 20, MATHS.name: [1.0] * N, SIGNS.name: [0.0] * N}, groups=GROUPS)
AFTER = run(
    "augmented",
    LARGE,
    {CHART.name: [1.0, 0.0] * 20, MATHS.name: [0.0, *[1.0] * 39], SIGNS.name: [1.0] * 30 + [0.0] * 10},
    groups=GROUPS,
)
CALLED = uses({CHART.name: [OLD] * N, MATHS.name: [EAR, *[OLD] * 39], SIGNS.name: [EAR] * 35 + [OLD] * 5})
SWAP = swap_report(BEFORE, AFTER, CALLED)


def test_differences_are_those_of_a_comparison() -> None:
    contrasts = compare([BEFORE, AFTER], [ContrastSpec("augmented", "base")]).contrasts
    assert [{name: asdict(each)[name] for name in Contrast.__struct_fields__} for each in SWAP.effects] == [
        asdict(each) for each in contrasts
    ]
    assert [each.scope for each in SWAP.effects] == [CHART.name, MATHS.name, SIGNS.name, "mini_main", "mini_ood"]
    for effect in SWAP.effects:
        assert effect.touched.rollouts + effect.untouched.rollouts == N * (2 if effect.scope == "mini_main" else 1)


def test_each_scope_has_its_domain_and_says_whether_it_is_generated() -> None:
    assert [(each.domain, each.mini) for each in SWAP.effects] == [
        ("in", True), ("in", True), ("out", True), ("in", True), ("out", True),
    ]  # fmt: skip
    assert domain_of(task_record("x", ("maestro_main",))) == "in"
    assert domain_of(task_record("x", ("maestro_ood", "maestro_seen"))) == "out"
    assert domain_of(task_record("x", ("domain", "mood"))) == ""
    assert domain_of(task_record("x", ("main", "ood"))) == ""


def test_the_domains_are_held_against_each_other() -> None:
    (found,) = SWAP.domains
    assert (found.mini, found.in_tasks, found.out_tasks) == (True, (CHART.name, MATHS.name), (SIGNS.name,))
    assert found.out_of_domain.value == pytest.approx(0.75)
    assert found.in_domain.value == pytest.approx(-1 / 80)
    assert found.difference.value == pytest.approx(0.75 + 1 / 80)
    assert found.difference.low > 0.5


@pytest.mark.parametrize("failed", [0, 3])
def test_a_difference_has_one_interval_wherever_it_is_shown(failed: int) -> None:
    scores = tuple(replace(each, value=None) if place < failed else each for place, each in enumerate(AFTER.scores))
    after = replace(AFTER, scores=scores)
    contrasts = compare([BEFORE, after], [ContrastSpec("augmented", "base")]).contrasts
    found = swap_report(BEFORE, after, CALLED)
    assert [each.difference for each in found.effects] == [each.difference for each in contrasts]
    means = {each.scope: each.difference for each in contrasts if each.kind == "mean"}
    (domains,) = found.domains
    assert (domains.in_domain, domains.out_of_domain) == (means["mini_main"], means["mini_ood"])


def test_generated_benchmarks_are_never_averaged_with_real_ones() -> None:
    real = {name: task_record(name, (tag,)) for name, tag in (("chart", "maestro_main"), ("signs", "maestro_ood"))}

    def mixed(made):
        renames = {CHART.name: "chart", SIGNS.name: "signs"}
        scores = tuple(
            replace(each, task=renames.get(each.task, each.task) if each.sample_id < "s020" else each.task)
            for each in made.scores
        )
        ordered = tuple(sorted(scores, key=lambda each: (each.task, each.sample_id)))
        manifest = replace(made.manifest, tasks=(*made.manifest.tasks, *real.values()), groups={})
        return replace(made, scores=ordered, manifest=manifest)

    found = swap_report(mixed(BEFORE), mixed(AFTER), CALLED).domains
    assert [(each.mini, each.in_tasks, each.out_tasks) for each in found] == [
        (False, ("chart",), ("signs",)),
        (True, (CHART.name, MATHS.name), (SIGNS.name,)),
    ]


def test_the_swap_is_told_from_the_manifests() -> None:
    assert new_entries(BEFORE.manifest, AFTER.manifest) == NEW
    assert (SWAP.entries.added, SWAP.entries.changed, SWAP.entries.removed) == (NEW, (), ())
    assert (SWAP.base, SWAP.augmented) == ("base", "augmented")
    assert (SWAP.base_registry, SWAP.augmented_registry) == ("small", "large")


def test_what_moved_and_credit_are_in_it() -> None:
    assert sum(each.lost for each in SWAP.adoption if each.domain == "in") == 1
    ear, _, none = SWAP.credits
    assert (ear.gains, ear.losses, ear.net) == (30.0, 1.0, 29.0)
    assert (none.gains, none.losses) == (0.0, 0.0)


def test_the_same_registry_is_refused() -> None:
    with pytest.raises(UserError, match=r"swap: base and augmented have the same registry \(small, hash b{12}\)"):
        swap_report(BEFORE, replace(AFTER, manifest=replace(AFTER.manifest, registry=BASE)), CALLED)


def test_another_setting_is_refused_or_said() -> None:
    other = replace(AFTER, manifest=replace(AFTER.manifest, seed=7))
    with pytest.raises(UserError, match="swap: seed differs between base"):
        swap_report(BEFORE, other, CALLED)
    (allowed,) = swap_report(BEFORE, other, CALLED, allow=["seed"]).allowed
    assert (allowed.field, allowed.base, allowed.augmented) == ("seed", "0", "7")


def test_runs_of_one_name_are_told_apart_by_their_registries() -> None:
    same = replace(AFTER, manifest=replace(AFTER.manifest, system="base"))
    found = swap_report(BEFORE, same, CALLED)
    assert (found.base, found.augmented) == ("base (registry small)", "base (registry large)")
    assert [each.difference for each in found.effects] == [each.difference for each in SWAP.effects]


def test_what_a_reader_must_know_is_said() -> None:
    assert not any("untouched" in note or "nothing is new" in note for note in SWAP.notes)
    backwards = swap_report(AFTER, BEFORE, dict.fromkeys(CALLED, OLD))
    assert "nothing is new in the augmented registry" in backwards.notes[0]
    assert any("entries were removed" in note for note in backwards.notes)
    # As if nobody had called the new expert: then the gain is where none is expected.
    unexplained = swap_report(BEFORE, AFTER, dict.fromkeys(CALLED, OLD))
    assert any(note.startswith(f"{SIGNS.name}: untouched rollouts differ") for note in unexplained.notes)
    prompted = replace(LARGE, entries={**LARGE.entries, "prompt.user": "other"})
    found = swap_report(BEFORE, replace(AFTER, manifest=replace(AFTER.manifest, registry=prompted)), CALLED)
    assert any("templates of the orchestrator's prompt differ" in note for note in found.notes)


def test_a_domain_that_was_not_run_whole_is_told() -> None:
    groups = {**GROUPS, "maestro_mini_main": (CHART.name, MATHS.name, "maestro_mini_more")}
    before, after = (replace(each, manifest=replace(each.manifest, groups=groups)) for each in (BEFORE, AFTER))
    notes = swap_report(before, after, CALLED).notes
    assert "the in-domain mean of the difference in differences is without maestro_mini_more" in notes


# robustness


def varied(variant: RegistryVariant, lost: int, **changes: object):
    """The augmented run in a variant, with ``lost`` of SIGNS' right answers lost."""
    values = [1.0] * (30 - lost) + [0.0] * (10 + lost)
    registry = replace(LARGE, hash=f"{variant}", variant=variant, **changes)
    made = run(f"v {variant}", registry, {CHART.name: [1.0, 0.0] * 20, MATHS.name: [1.0] * N, SIGNS.name: values})
    return replace(made, manifest=replace(made.manifest, groups=GROUPS))


def test_variants_are_held_against_the_run_of_their_registry() -> None:
    less = {key: value for key, value in LARGE.entries.items() if key != "experts.ear"}
    found = swap_report(
        BEFORE,
        AFTER,
        CALLED,
        variants=[
            varied(RegistryVariant(permute=1), 2),
            varied(RegistryVariant(permute=2), 6),
            varied(RegistryVariant(rename=True), 1, entries={"experts.expert-a": "x"}, renamed={"expert-a": "eye"}),
            varied(RegistryVariant(without=("ear",)), 24, entries=less),
            varied(RegistryVariant(permute=2, rename=True), 0),
        ],
    ).robustness
    assert found is not None
    assert [(each.what, each.left_out, each.variant) for each in found.runs] == [
        ("permuted", "", "permuted 1"),
        ("permuted", "", "permuted 2"),
        ("renamed", "", "renamed"),
        ("without", "ear", "without ear"),
        ("several", "", "renamed, permuted 2"),
    ]
    assert {each.reference for each in found.runs} == {"augmented"}
    signs = {run.variant: scope for run in found.runs for scope in run.scopes if scope.scope == SIGNS.name}
    assert signs["without ear"].difference.value == pytest.approx(-24 / 40)
    assert signs["without ear"].difference.high < 0
    assert signs["renamed"].difference.value == pytest.approx(-1 / 40)
    (orders,) = (each for each in found.orders if each.scope == SIGNS.name)
    assert (orders.orders, orders.reference) == (2, "augmented")
    assert (orders.listed, orders.mean) == (pytest.approx(30 / 40), pytest.approx(26 / 40))
    assert orders.range == pytest.approx(4 / 40)
    assert (orders.listed_bounds, orders.mean_bounds, orders.range_bounds) == (None, None, None)


def test_failures_widen_the_accuracy_over_listing_orders() -> None:
    broken = varied(RegistryVariant(permute=2), 2)
    # 28 of 40 are right; four of the others failed and may have been.
    scores = tuple(
        replace(each, value=None) if each.task == SIGNS.name and each.sample_id >= "s036" else each
        for each in broken.scores
    )
    variants = [varied(RegistryVariant(permute=1), 2), replace(broken, scores=scores)]
    found = swap_report(BEFORE, AFTER, CALLED, variants=variants).robustness
    assert found is not None
    (orders,) = (each for each in found.orders if each.scope == SIGNS.name)
    assert (orders.low, orders.high, orders.range) == (28 / 40, 32 / 40, 0.0)
    assert orders.listed_bounds is None
    assert orders.mean_bounds == Bounds(28 / 40, 30 / 40)
    assert orders.range_bounds is not None
    assert (orders.range_bounds.low, orders.range_bounds.high) == (0.0, pytest.approx(4 / 40))


@pytest.mark.parametrize(
    ("registry", "says"),
    [
        ({"path": "other.yaml"}, "is of the registry other.yaml, which is neither large.yaml nor small.yaml"),
        ({"variant": RegistryVariant()}, "is no variant, as augmented is; give runs of --permute-registry"),
        ({"entries": {**LARGE.entries, "skills.Look": "edited"}}, "skills.Look of the registry large.yaml differs"),
    ],
)
def test_what_is_no_variant_of_either_run_is_refused(registry: dict[str, object], says: str) -> None:
    given = varied(RegistryVariant(permute=1), 0)
    record = replace(given.manifest.registry, **registry)
    with pytest.raises(UserError, match=says):
        swap_report(BEFORE, AFTER, CALLED, variants=[replace(given, manifest=replace(given.manifest, registry=record))])


def test_a_variant_that_differs_in_more_is_refused() -> None:
    given = varied(RegistryVariant(permute=1), 0)
    other = replace(given, manifest=replace(given.manifest, seed=3))
    with pytest.raises(UserError, match="--variants: seed differs between augmented"):
        swap_report(BEFORE, AFTER, CALLED, variants=[other])
    assert swap_report(BEFORE, AFTER, CALLED, variants=[other], allow=["seed"]).robustness is not None


def test_a_variant_under_its_references_name_is_told_apart() -> None:
    given = varied(RegistryVariant(permute=1), 2)
    same = replace(given, manifest=replace(given.manifest, system="augmented"))
    found = swap_report(BEFORE, AFTER, CALLED, variants=[same]).robustness
    assert found is not None
    assert (found.runs[0].reference, found.runs[0].system) == (
        "augmented (registry as it is)",
        "augmented (permuted 1)",
    )
