"""The order of rollouts: what is longest comes first, a slow worker takes less, and nothing is lost or held back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import small_manifest, write_run

from benchmarks.schedule import (
    SLOTS,
    STRATEGIES,
    Engines,
    Work,
    bound,
    check_against_simpy,
    draw,
    makespan,
    measure,
    verdicts,
)
from maestro_eval.journal import Finished
from maestro_eval.records import (
    Answered,
    Failed,
    Outcome,
    Rollout,
    RolloutKey,
    Sample,
    TaskRecord,
    Timing,
)
from maestro_eval.runtime.scheduler import Order, expected_times, past_runs


def plan(**counts: int) -> list[RolloutKey]:
    return [RolloutKey(task, str(number)) for task, count in counts.items() for number in range(count)]


def take_all(order: Order, worker: str = "a") -> list[RolloutKey]:
    taken = []
    while (key := order.take(worker, 0.0)) is not None:
        taken.append(key)
    return taken


def test_the_longest_task_comes_first_and_its_data_in_order() -> None:
    order = Order(plan(short=2, long=2, middle=1), {"short": 1.0, "middle": 5.0, "long": 60.0})
    assert take_all(order) == plan(long=2, middle=1, short=2)
    assert not any(order.waiting().values())


def test_unknown_tasks_come_before_known_ones_and_in_turns() -> None:
    order = Order(plan(known=1, first=2, second=2), {"known": 500.0})
    assert [key.task for key in take_all(order)] == ["first", "second", "first", "second", "known"]


def test_equal_tasks_keep_the_order_of_the_plan() -> None:
    assert take_all(Order(plan(b=3, a=3), {"a": 1.0, "b": 1.0})) == plan(b=3, a=3)


def test_times_are_learnt_while_the_run_goes_on() -> None:
    order = Order(plan(quick=100, slow=100))
    now = 0.0
    seconds = {"quick": 1.0, "slow": 30.0}
    for _ in range(40):
        key = order.take("a", now)
        assert key is not None
        now += seconds[key.task]
        order.finish(key, now)
    following = order.take("a", now)
    assert following is not None
    assert following.task == "slow"


def test_what_is_still_under_way_counts_so_that_the_first_to_end_do_not_mislead() -> None:
    order = Order(plan(mixed=80, even=80))
    begun = [key for _ in range(80) if (key := order.take("a", 0.0)) is not None]
    # Of `mixed` half end at once, and the others go on and on; of `even` all take 5 s.
    for key in begun:
        if key.task == "mixed" and int(key.sample_id) % 2:
            order.finish(key, 1.0)
    for key in begun:
        if key.task == "even":
            order.finish(key, 5.0)
    following = order.take("a", 20.0)
    assert following is not None
    assert following.task == "mixed"


def test_a_failed_rollout_teaches_nothing() -> None:
    order = Order(plan(task=40, other=40), {"task": 10.0, "other": 5.0})
    for number in range(40):
        key = order.take("a", float(number))
        assert key is not None
        order.finish(key, number + 0.001, typical=False)
    order.forget("nobody")
    assert order.take("a", 50.0) == RolloutKey("other", "0")


def test_what_is_given_back_comes_first_of_its_task_again() -> None:
    order = Order(plan(a=3, b=2), {"a": 2.0, "b": 1.0})
    out = [order.take("x", 0.0) for _ in range(4)]
    assert [key for key in out if key] == [*plan(a=3), RolloutKey("b", "0")]
    order.give_back([key for key in out if key and key.sample_id != "1"])
    order.forget("x")
    assert take_all(order) == [RolloutKey("a", "0"), RolloutKey("a", "2"), *plan(b=2)]


def test_what_is_given_back_of_a_task_that_was_worked_off_is_not_forgotten() -> None:
    order = Order(plan(a=1, b=100), {"a": 60.0, "b": 1.0})
    lost = order.take("x", 0.0)
    assert lost == RolloutKey("a", "0")
    for number in range(99):
        key = order.take("y", float(number))
        assert key is not None
        order.finish(key, number + 1.0)
    order.give_back([lost])
    assert take_all(order) == [lost, RolloutKey("b", "99")]


SECONDS = {"task": 10.0, "crumbs": 0.2}


def fleet(order: Order, *, rounds: int) -> float:
    """`quick` runs ``rounds`` keys, four at once; `dull`, three times as slow, runs a third. The time then."""
    now = 0.0
    for turn in range(rounds // 4):
        run_four(order, "quick", now, 1.0)
        if turn % 3 == 0:
            run_four(order, "dull", now, 3.0)
        now += SECONDS["task"]
    return now


def run_four(order: Order, worker: str, now: float, slowness: float) -> None:
    for key in [order.take(worker, now) for _ in range(4)]:
        assert key is not None
        order.finish(key, now + slowness * SECONDS[key.task])


def test_a_slow_worker_is_given_the_shortest_there_is() -> None:
    order = Order(plan(task=600, crumbs=600), SECONDS, workers=2)
    now = fleet(order, rounds=240)
    quick, dull = order.take("quick", now), order.take("dull", now)
    assert quick is not None
    assert dull is not None
    assert (quick.task, dull.task) == ("task", "crumbs")


def test_where_all_are_alike_a_slow_worker_takes_its_share() -> None:
    order = Order(plan(task=400), {"task": 10.0}, workers=2)
    now = fleet(order, rounds=240)
    assert order.take("dull", now) == RolloutKey("task", "320")


def test_until_a_worker_is_known_it_is_given_what_is_short() -> None:
    order = Order(plan(long=100, short=100), {"long": 60.0, "short": 1.0}, workers=2)
    first = [key for _ in range(40) if (key := order.take("a", 0.0)) is not None]
    assert {key.task for key in first} == {"short"}
    for key in first:
        order.finish(key, 1.0)
    known, stranger = order.take("a", 1.0), order.take("b", 1.0)
    assert known is not None
    assert stranger is not None
    assert (known.task, stranger.task) == ("long", "short")


def test_where_nothing_is_much_shorter_nothing_is_put_off() -> None:
    order = Order(plan(a=2, b=2), {"a": 2.0, "b": 3.0}, workers=2)
    assert order.take("w", 0.0) == RolloutKey("b", "0")


@given(
    tasks=st.lists(st.tuples(st.integers(1, 12), st.floats(0.01, 100), st.booleans()), min_size=1, max_size=5),
    slowness=st.lists(st.sampled_from([1.0, 1.0, 2.0, 10.0]), min_size=1, max_size=4),
    deaths=st.lists(st.integers(0, 60), max_size=3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60)
def test_every_key_is_run_once_whatever_happens(
    tasks: list[tuple[int, float, bool]], slowness: list[float], deaths: list[int], seed: int
) -> None:
    keys = [RolloutKey(str(task), str(number)) for task, (count, _, _) in enumerate(tasks) for number in range(count)]
    order = Order(
        keys, {str(task): mean for task, (_, mean, known) in enumerate(tasks) if known}, workers=len(slowness)
    )
    running: dict[RolloutKey, tuple[float, int]] = {}
    done: list[RolloutKey] = []
    now, steps = 0.0, 0
    while len(done) < len(keys):
        for worker, slow in enumerate(slowness):
            if sum(at == worker for _, at in running.values()) < 2:
                key = order.take(str(worker), now)
                if key is None:
                    continue
                assert key not in running
                assert key not in done
                running[key] = (now + tasks[int(key.task)][1] * slow, worker)
        # Somebody works as long as there is work: not all wait for each other.
        assert running
        ended = min(running, key=lambda key: running[key])
        now, at = running.pop(ended)
        order.finish(ended, now)
        done.append(ended)
        steps += 1
        if steps in deaths:
            lost = [key for key, (_, worker) in running.items() if worker == at]
            for key in lost:
                del running[key]
            order.give_back(lost)
            order.forget(str(at))
    assert sorted(done) == sorted(keys)
    assert not any(order.waiting().values())


# earlier runs


def record(key: RolloutKey, seconds: float, outcome: Outcome) -> Finished:
    rollout = Rollout(key, outcome, (), "How many?", "c", seed=3, timing=Timing(0.0, seconds))
    return Finished(rollout, Sample(key.task, key.sample_id, "How many?", ("4",), content_hash="c"))


def made_run(folder: Path, seconds: dict[str, list[float]], failed: tuple[str, ...] = ()) -> Path:
    tasks = tuple(TaskRecord(name, "h", "exact", "mean", (), "d", "h", len(of)) for name, of in seconds.items())
    manifest = small_manifest(*tasks)
    batch = [
        record(RolloutKey(name, str(number)), taken, Failed("expert", "x") if name in failed else Answered("4"))
        for name, of in seconds.items()
        for number, taken in enumerate(of)
    ]
    return write_run(folder, manifest, batch)


def test_times_come_from_the_first_run_that_knows_a_task(tmp_path: Path) -> None:
    own = made_run(tmp_path / "own", {"chart": [2.0, 4.0], "empty": []})
    other = made_run(tmp_path / "other", {"chart": [100.0], "maths": [30.0], "empty": [1.0]})
    assert expected_times([own, other], ["chart", "maths", "empty"]) == {"chart": 3.0, "maths": 30.0, "empty": 1.0}
    assert expected_times([own, other], ["maths"]) == {"maths": 30.0}


def test_stalled_and_failed_rollouts_do_not_move_a_mean(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", {"chart": [3.0] * 99 + [600.0], "broken": [600.0]}, failed=("broken",))
    assert expected_times([run], ["chart", "broken"]) == {"chart": 3.0}


def test_the_runs_beside_one_are_looked_at_newest_first(tmp_path: Path) -> None:
    for age, name in enumerate(("newest", "older", "oldest")):
        run = made_run(tmp_path / name, {"chart": [1.0]})
        os.utime(run / "manifest.json", (1e9 - age, 1e9 - age))
    (tmp_path / "no-run").mkdir()
    assert [run.name for run in past_runs(tmp_path / "new")] == ["new", "newest", "older", "oldest"]
    assert [run.name for run in past_runs(tmp_path / "older")] == ["older", "newest", "oldest"]


def test_a_folder_that_is_no_run_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text("{")
    assert expected_times([tmp_path / "absent", tmp_path / "damaged"], ["chart"]) == {}


# the simulation that measures the order


def test_the_heap_and_simpy_agree() -> None:
    check_against_simpy()


def test_the_bound_is_the_work_or_the_longest_rollout() -> None:
    keys = plan(task=2 * SLOTS)
    even = Work(keys, [1.0] * len(keys))
    assert bound(even, Engines((1.0,))) == 2.0
    assert bound(even, Engines((1.0, 2.0))) == pytest.approx(4 / 3)
    assert bound(Work(keys, [1.0] * (len(keys) - 1) + [50.0]), Engines((1.0, 2.0))) == 50.0


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_simulation_worked_out_by_hand(name: str) -> None:
    keys = plan(task=4 * SLOTS)
    work = Work(keys, [1.0] * len(keys))
    assert makespan(work, Engines((1.0, 1.0)), STRATEGIES[name](work, 2)) == 2.0


def test_no_strategy_beats_the_bound_and_each_seed_draws_its_own() -> None:
    rows = measure(2, 1000, slow=True, draws=2)
    assert min(row.mean for row in rows) >= 1.0
    assert draw(100, 1) == draw(100, 1) != draw(100, 2)


def test_the_order_meets_its_targets_on_eight_engines() -> None:
    rows = [row for slow in (False, True) for row in measure(8, 10_000, slow, draws=2)]
    assert verdicts(rows) == []
