"""Placements: nobody too much on a GPU, everybody placed or named, and a fit found wherever there is one."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serve_worlds import engine, serving_registry

from maestro_eval.records import UserError
from maestro_eval.registry import load_registry
from maestro_eval.serving.engines import Engine
from maestro_eval.serving.placement import Gpu, Plan, missing_gpus, place, plan

ENGINES = st.lists(
    st.tuples(st.none() | st.integers(1, 40), st.sampled_from([1, 1, 1, 2, 3, 0])), min_size=1, max_size=7
).map(lambda sizes: [engine(port, None if not g else m, gpus=g) for port, (m, g) in enumerate(sizes, 1)])
GPUS = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([24.0, 48.0])), max_size=5).map(
    lambda gpus: [Gpu(index, memory, node) for index, (node, memory) in enumerate(gpus)]
)


def card(number: int, memory_gb: float = 80.0, node: str = "") -> list[Gpu]:
    return [Gpu(index, memory_gb, node) for index in range(number)]


def is_sound(placed: Plan, engines: list[Engine]) -> None:
    """Every promise of a plan."""
    everybody = [p.engine for p in placed.placements] + [m.engine for m in placed.misfits]
    assert Counter(e.port for e in everybody) == Counter(e.port for e in engines)
    lent: Counter[Gpu] = Counter()
    alone: Counter[Gpu] = Counter()
    for placement in placed.placements:
        assert len(set(placement.gpus)) == placement.engine.gpus
        assert len({(gpu.node, gpu.memory_gb) for gpu in placement.gpus}) <= 1
        memory = placement.engine.serve.memory_gb
        for gpu in placement.gpus:
            if memory is None:
                assert placement.share is None
                alone[gpu] += 1
            else:
                assert placement.share * gpu.memory_gb >= memory - 0.01
                lent[gpu] += placement.share
    assert all(share <= 0.95 + 1e-9 for share in lent.values())
    assert set(alone.values()) <= {1}
    assert not set(alone) & set(lent)


def fits_by_trying_everything(engines: list[Engine], gpus: list[Gpu]) -> bool:
    """Without any of the cleverness: every set of GPUs for every engine."""
    if not engines:
        return True

    def possible(rest: list[Engine], free: dict[int, float]) -> bool:
        if not rest:
            return True
        first, later = rest[0], rest[1:]
        memory = first.serve.memory_gb
        for chosen in itertools.combinations(range(len(gpus)), first.gpus):
            if len({(gpus[i].node, gpus[i].memory_gb) for i in chosen}) > 1:
                continue
            if memory is None:
                if all(free[i] == gpus[i].memory_gb * 0.95 for i in chosen) and possible(
                    later, free | dict.fromkeys(chosen, 0.0)
                ):
                    return True
            elif all(free[i] >= memory for i in chosen) and possible(
                later, free | {i: free[i] - memory for i in chosen}
            ):
                return True
        return False

    return possible(engines, {i: gpu.memory_gb * 0.95 for i, gpu in enumerate(gpus)})


@settings(max_examples=150)
@given(ENGINES, GPUS)
def test_a_plan_keeps_every_promise_and_is_the_same_again(engines: list[Engine], gpus: list[Gpu]) -> None:
    placed = place(engines, gpus)
    is_sound(placed, engines)
    assert place(engines, gpus) == placed


@settings(max_examples=150)
@given(ENGINES, GPUS)
def test_it_fits_exactly_when_trying_everything_finds_a_fit(engines: list[Engine], gpus: list[Gpu]) -> None:
    placed = place(engines[:5], gpus[:4])
    assert placed.fits is fits_by_trying_everything(engines[:5], gpus[:4])
    assert placed.exhaustive


def test_a_packing_that_largest_first_misses_is_found() -> None:
    # Onto 2 × 95 GB by descending size: 60+32 and 50+40 leave the 8 without room; 60+27… does not.
    engines = [engine(port, memory) for port, memory in enumerate([45, 40, 35, 30, 20, 20], 1)]
    placed = place(engines, card(2, 100.0))
    is_sound(placed, engines)
    assert placed.fits


def test_a_search_that_is_cut_off_says_so() -> None:
    engines = [engine(port, 31) for port in range(1, 12)]
    placed = place(engines, card(5, 80.0), steps=5)
    assert not placed.fits
    assert not placed.exhaustive
    assert place(engines[:11], card(5, 80.0)).exhaustive


def test_engines_spread_over_the_gpus_and_take_what_is_left() -> None:
    placed = place([engine(1, 20), engine(2, 20)], card(2))
    assert [placement.gpus[0].index for placement in placed.placements] == [0, 1]
    assert [placement.share for placement in placed.placements] == [0.95, 0.95]
    shared = place([engine(1, 30), engine(2, 10)], card(1))
    assert [placement.share for placement in shared.placements] == [0.7125, 0.2375]


def test_an_engine_over_several_gpus_stays_on_one_node() -> None:
    gpus = [*card(1, node="a"), *card(2, node="b")]
    (placement,) = place([engine(1, gpus=2)], gpus).placements
    assert {gpu.node for gpu in placement.gpus} == {"b"}
    assert not place([engine(1, gpus=2)], [*card(1, node="a"), *card(1, node="b")]).fits


def test_replicas_are_gpus_of_one_node() -> None:
    (placement,) = place([engine(1, 20, gpus=2, replicas=2)], card(4)).placements
    assert [gpu.index for gpu in placement.gpus] == [0, 1, 2, 3]


def test_models_for_the_cpu_need_no_gpu() -> None:
    (placement,) = place([engine(1, gpus=0)], []).placements
    assert placement.gpus == ()


@pytest.mark.parametrize(
    ("engines", "gpus", "lacks"),
    [
        ([engine(1, 50), engine(2, 40)], card(1), "needs 14 more GB on one GPU, or 1 more GPU"),
        ([engine(1, 90)], card(2), "needs 90 GB on a GPU, and the largest here have 76 GB"),
        ([engine(1), engine(2)], card(1), "needs 1 more GPU of its own, or a serve.memory_gb to share one"),
        ([engine(1, gpus=4)], card(2), "needs 4 GPUs of one node and size, unused, and 2 are left"),
        ([engine(1, 30, gpus=2)], card(1), "needs 2 GPUs of one node and size with 30 GB free on each, and 1 are left"),
        ([engine(1, 30)], [], "needs a GPU with 30 GB free, and there is none"),
    ],
)
def test_what_is_missing_is_said(engines: list[Engine], gpus: list[Gpu], lacks: str) -> None:
    placed = place(engines, gpus)
    assert [misfit.lacks for misfit in placed.misfits] == [lacks]


def test_how_many_gpus_more_would_do_is_counted_for_all_together() -> None:
    engines = [engine(port, 30) for port in range(1, 8)]
    assert missing_gpus(place(engines, card(1))) == 3
    assert missing_gpus(place([engine(1, 90)], card(1))) is None
    assert missing_gpus(place([engine(1, 90)], [])) is None


def test_engines_that_share_a_gpu_are_one_group() -> None:
    placed = place([engine(1, 40, gpus=2), engine(2, 30), engine(3), engine(4, gpus=0)], card(3))
    ports = [sorted(placement.engine.port for placement in group) for group in placed.groups]
    assert sorted(ports) == [[1, 2], [3], [4]]


def test_the_released_pools_fit_the_nodes_that_they_are_meant_for() -> None:
    assert plan(load_registry("base"), card(4, 79.6)).fits
    assert plan(load_registry("augmented"), card(5, 79.6)).fits
    assert missing_gpus(plan(load_registry("augmented"), card(4, 79.6))) == 1


def test_a_registry_that_serves_nothing_here_is_told_so(tmp_path) -> None:
    with pytest.raises(UserError, match="no expert or service has a serve block with an address of this machine"):
        plan(load_registry("embedded"), [])
    registry = serving_registry(
        tmp_path,
        "  A: {model: m, endpoint: a, description: d, serve: {model: m}}",
        "  a: {url: http://gpu-7:81/v1}",
    )
    with pytest.raises(UserError, match=r"\(a: other machines\)"):
        plan(registry, [], own_names=())
