"""Whom the policy called, what it did with its turns, and the accuracy given a call."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.analysis.routing_worlds import answer, call, malformed, rollout, routed, search, unknown

from maestro_eval.analysis.routing.behaviour import REST, Tally, normalised
from maestro_eval.analysis.stats.estimates import wilson
from maestro_eval.records import Failed, MalformedAction, RolloutKey, Turn


def test_calls_are_counted_by_task_and_pair(tmp_path: Path) -> None:
    found = routed(
        tmp_path / "run",
        [
            rollout(search("3"), search("4", expert="counter", skill="Count_Things"), answer("7"), sample="a"),
            rollout(search("7"), answer("7"), sample="b"),
            rollout(search("7"), answer("7"), sample="a", task="counts"),
        ],
    )
    assert found.mix == {
        "signs": {"reader@@Read_Text": 2, "counter@@Count_Things": 1},
        "counts": {"reader@@Read_Text": 1},
    }
    assert next(iter(found.mix["signs"])) == "reader@@Read_Text"


def test_a_call_in_the_last_turn_is_late_and_no_call(tmp_path: Path) -> None:
    late = search(None, calls=(), skipped=True)
    found = routed(tmp_path / "run", [rollout(search("3"), late, answer("7"))])
    assert found.mix == {"signs": {"reader@@Read_Text": 1}}
    (behaviour,) = found.behaviour
    assert (behaviour.calls, behaviour.late) == (1, 1)


def test_the_same_request_again_is_repeated_and_the_same_reply_again_is_echoed(tmp_path: Path) -> None:
    turns = [
        search("I see 3.", request="How many?"),
        search("I see 4.", request="  how   many "),  # the same apart from case, spacing and punctuation
        search("i see 3", request="How many signs?"),  # another request, the same reply
        search("I see 5.", request="How many?", expert="counter"),  # another expert
        answer("7"),
    ]
    (behaviour,) = routed(tmp_path / "run", [rollout(*turns)]).behaviour
    assert (behaviour.calls, behaviour.repeated, behaviour.echoed) == (4, 1, 1)


def test_a_request_of_another_rollout_is_no_repetition(tmp_path: Path) -> None:
    rollouts = [rollout(search("3"), answer("7"), sample=name) for name in ("a", "b")]
    (behaviour,) = routed(tmp_path / "run", rollouts).behaviour
    assert (behaviour.repeated, behaviour.echoed) == (0, 0)


def test_turns_that_say_nothing_usable_are_told_apart(tmp_path: Path) -> None:
    turns = [
        malformed(),
        malformed("all 4 calls are used; answer now", "refused"),
        unknown("nobody"),
        malformed("the first turn may not answer; ask first", "refused"),
        answer("7"),
    ]
    found = routed(tmp_path / "run", [rollout(*turns)])
    (behaviour,) = found.behaviour
    assert (behaviour.said, behaviour.malformed, behaviour.refused, behaviour.unresolved) == (5, 1, 2, 1)
    assert found.unresolved == {"nobody@@Read_Text": 1}
    assert found.malformed == {
        "no complete call or answer; write …": 1,
        "all 4 calls are used; answer now": 1,
        "the first turn may not answer; ask first": 1,
    }


def test_a_turn_that_broke_off_before_a_word_is_not_the_policys(tmp_path: Path) -> None:
    broken = Turn("", MalformedAction("the turn was broken off before the policy had written anything"))
    found = routed(tmp_path / "run", [rollout(search("3"), broken, outcome=Failed("policy", "connection: gone"))])
    (behaviour,) = found.behaviour
    assert (behaviour.said, behaviour.malformed, dict(behaviour.turns)) == (1, 0, {1: 1})


def test_turns_are_a_distribution_over_rollouts_and_missing_ones_are_counted(tmp_path: Path) -> None:
    rollouts = [
        rollout(answer("7"), sample="a"),
        rollout(search("7"), answer("7"), sample="b"),
        rollout(search("7"), answer("7"), sample="c"),
    ]
    (behaviour,) = routed(tmp_path / "run", rollouts, never_ran=[RolloutKey("signs", "d")]).behaviour
    assert (behaviour.rollouts, behaviour.never_ran, dict(behaviour.turns)) == (3, 1, {1: 1, 2: 2})


def test_never_called_entries_are_those_that_no_call_and_no_evidence_asked(tmp_path: Path) -> None:
    asked = [call("a sign", name="spotter", kind="service"), call("7", name="reader")]
    assert routed(tmp_path / "a", [rollout(search("7", calls=asked), answer("7"))]).never_called == {
        "experts": ("counter",),
        "skills": ("Count_Things",),
        "services": (),
    }
    assert routed(tmp_path / "b", [rollout(answer("7"))]).never_called == {
        "experts": ("reader", "counter"),
        "skills": ("Read_Text", "Count_Things"),
        "services": ("spotter",),
    }


def test_accuracy_given_a_call_is_over_the_samples_that_made_it(tmp_path: Path) -> None:
    rollouts = [
        rollout(search("7"), answer("7"), sample="a"),
        rollout(search("6"), answer("6"), sample="b"),
        rollout(search("7", expert="counter"), answer("7"), sample="c"),
        rollout(answer("7"), sample="d"),
    ]
    found = {(e.task, e.expert, e.skill): e for e in routed(tmp_path / "run", rollouts).accuracy_given}
    for scope in (("signs", "reader", "Read_Text"), ("signs", "reader", ""), ("", "reader", "")):
        assert found[scope].accuracy == wilson(1, 2)
        assert found[scope].calls == 2
    assert found["signs", "counter", "Read_Text"].accuracy.value == 1


def test_a_sample_that_calls_twice_or_is_asked_twice_counts_once(tmp_path: Path) -> None:
    rollouts = [
        rollout(search("6", request="x"), search("7", request="y"), answer("7"), sample="a"),
        rollout(search("6"), answer("6"), sample="a", repeat=1),
        rollout(answer("6"), sample="a", repeat=2),  # made no call, and does not count
    ]
    (pair,) = [e for e in routed(tmp_path / "run", rollouts).accuracy_given if (e.task, e.skill) == ("", "Read_Text")]
    assert (pair.calls, pair.accuracy.n, pair.accuracy.value) == (3, 1, 0.5)


def test_a_failure_counts_as_wrong_and_the_interval_reaches_to_all_right(tmp_path: Path) -> None:
    rollouts = [
        rollout(search("7"), answer("7"), sample="a"),
        rollout(search("7"), sample="b", outcome=Failed("expert", "http 503")),
    ]
    (pair,) = [e for e in routed(tmp_path / "run", rollouts).accuracy_given if (e.task, e.skill) == ("", "Read_Text")]
    assert pair.n_failed == 1
    assert pair.accuracy.value == 0.5
    assert (pair.accuracy.low, pair.accuracy.high) == (wilson(1, 2).low, wilson(2, 2).high)


def test_samples_of_one_image_are_not_taken_as_independent(tmp_path: Path) -> None:
    rollouts = [rollout(search("7"), answer("7" if i < 4 else "6"), sample=f"s{i}") for i in range(8)]
    alone = routed(tmp_path / "a", rollouts).accuracy_given[0].accuracy
    shared = routed(tmp_path / "b", rollouts, clusters={f"s{i}": f"image {i // 4}" for i in range(8)})
    assert alone.method == "wilson"
    clustered = shared.accuracy_given[0].accuracy
    assert clustered.value == alone.value
    assert clustered.high - clustered.low > alone.high - alone.low


def test_a_picture_in_two_benchmarks_is_one_cluster_of_the_accuracy_over_both(tmp_path: Path) -> None:
    rollouts = [
        rollout(search("7"), answer("7" if i % 3 else "6"), sample=f"s{i}", task=task)
        for i in range(12)
        for task in ("signs", "counts")
    ]
    alone = routed(tmp_path / "a", rollouts)
    shared = routed(tmp_path / "b", rollouts, clusters={f"s{i}": f"image {i}" for i in range(12)})
    assert (alone.accuracy_given[0].task, shared.accuracy_given[0].task) == ("", "")
    assert shared.accuracy_given[0].accuracy.method == "wilson, 12 clusters"
    assert shared.accuracy_given[0].accuracy.low < alone.accuracy_given[0].accuracy.low


def test_names_beyond_the_most_are_counted_as_one() -> None:
    tally = Tally()
    for number in range(3000):
        tally.add(f"name {number % 1500}")
    assert list(tally.most(10))[-1] == REST


@given(st.lists(st.text(max_size=400), max_size=60), st.integers(1, 12))
def test_a_tally_loses_no_count_and_keeps_lines_short(texts: list[str], number: int) -> None:
    tally = Tally()
    for text in texts:
        tally.add(text)
    shown = tally.most(number)
    assert sum(shown.values()) == len(texts)
    assert all(len(name) <= 160 and "\n" not in name for name in shown)


@pytest.mark.parametrize("other", ["how many", "How  many?", " HOW MANY.\n"])
def test_requests_are_the_same_apart_from_case_spacing_and_their_end(other: str) -> None:
    assert normalised("How many?") == normalised(other)
    assert normalised("x" * 500) == normalised("X" * 500)
    assert normalised("x" * 500) != normalised("x" * 500 + "y")
