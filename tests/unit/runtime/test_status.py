from __future__ import annotations

from pathlib import Path

import msgspec
from small_worlds import small_registry
from unit.runtime.live_worlds import finished, out

from maestro_eval.models.limiter import Places
from maestro_eval.records import AnswerAction, Answered, Exhausted, ExpertCall, Failed, RolloutKey, Turn, Usage
from maestro_eval.runtime.leases import LeaseQueue
from maestro_eval.runtime.status import (
    ExecutorState,
    RunStatus,
    TaskState,
    WorkerState,
    added,
    counters,
    endpoint_names,
    executor_state,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def board(state: ExecutorState | None = None, **settings: object) -> RunStatus:
    names = {"http://a/v1": "there", "http://b/v1": "elsewhere"}
    return RunStatus(
        {"chart": 5, "maps": 3}, {"chart": 4, "maps": 3}, lambda: state or ExecutorState(), names, **settings
    )


def test_what_was_done_before_counts_as_done_and_what_is_committed_is_added_by_its_task_and_end() -> None:
    made = board()
    made.committed([finished("1"), finished("2", Exhausted("turns"))])
    made.committed([finished("3", Failed("expert", "gone")), finished("1", task="maps")])
    state = made.read()
    assert state.tasks == {"chart": TaskState(5, 1, 1, 1, 1), "maps": TaskState(3, 0, 1)}
    assert (state.planned, state.done, state.failed, state.ended, state.left) == (8, 4, 1, 4, 3)


def test_of_a_retired_task_only_what_has_ended_or_is_out_is_planned() -> None:
    made = board(ExecutorState(out=(out("2"), out("1", task="maps"))))
    made.committed([finished("1")])
    made.retire("chart")
    state = made.read()
    assert state.tasks == {"chart": TaskState(3, 1, 1), "maps": TaskState(3)}
    assert state.left == 4
    # What had ended and was on its way to the journal comes on top.
    made.committed([finished("2"), finished("3")])
    assert made.read().tasks["chart"] == TaskState(4, 1, 3)


def test_the_time_of_the_last_commit_is_kept_and_looking_does_not_move_it() -> None:
    clock = Clock()
    made = board(clock=clock)
    clock.now = 3.0
    made.committed([finished()])
    clock.now = 9.0
    state = made.publish(stopping=False)
    assert (state.begun, state.moved, state.at) == (0.0, 3.0, 9.0)


def call(kind: str, tokens: int, *, cached: bool = False) -> ExpertCall:
    return ExpertCall(kind, "x", "m", "http://a/v1", "?", usage=Usage(tokens, 1), cached=cached)


def turn(*calls: ExpertCall, usage: Usage) -> Turn:
    return Turn("<answer> 4 </answer>", AnswerAction("4"), calls=calls, usage=usage)


def test_tokens_are_those_of_turns_and_of_calls_that_were_not_cached() -> None:
    turns = (turn(call("expert", 10), call("service", 20, cached=True), usage=Usage(100, 7)),)
    made = board()
    made.committed([finished(turns=turns)])
    assert made.read().tokens == Usage(110, 8)


def test_a_policy_that_passes_an_expert_on_does_not_count_its_tokens_twice() -> None:
    asked = call("expert", 10)
    made = board(generates=False)
    made.committed([finished(outcome=Answered("4"), turns=(turn(asked, usage=asked.usage),))])
    assert made.read().tokens == Usage(10, 1)


def test_the_places_of_all_workers_are_one_endpoint_in_the_registrys_order() -> None:
    state = ExecutorState(
        3,
        (out(),),
        workers=(
            WorkerState(
                "ray-1", engines={"http://x/v1": Places(1, 1, 1, 0), "http://b/v1": Places(8, 4, 2, 1, 5, 1, 2)}
            ),
            WorkerState("ray-2", engines={"http://b/v1": Places(8, 8, 3, 0, 6), "http://a/v1": Places(2, 2, 0, 0)}),
        ),
        gone={"http://b/v1": Places(0, 0, 0, 0, 100, 10, 1)},
    )
    seen = board(state).publish(stopping=True)
    assert [endpoint.name for endpoint in seen.endpoints] == ["there", "elsewhere", "http://x/v1"]
    assert seen.endpoints[1].places == Places(16, 12, 5, 1, 111, 11, 3)
    assert seen.endpoints[1].errors == 14
    assert seen.stopping


def test_of_a_life_that_ended_only_what_it_counted_is_left() -> None:
    gone = counters({"u": Places(8, 4, 2, 1, 5, 1, 2)})
    assert added(gone, {"u": Places(8, 4, 0, 0, 1)}) == {"u": Places(8, 4, 0, 0, 6, 1, 2)}


def test_an_address_is_called_by_all_its_records_and_by_the_policy_that_is_there(tmp_path: Path) -> None:
    registry = small_registry(tmp_path, "http://a/v1")
    assert endpoint_names(registry, []) == {"http://a/v1": "here"}
    assert endpoint_names(registry, ["http://a/v1"]) == {"http://a/v1": "policy, here"}
    assert endpoint_names(registry, ["http://p/v1", "http://q/v1"]) == {
        "http://a/v1": "here",
        "http://p/v1": "policy 1",
        "http://q/v1": "policy 2",
    }


def test_how_a_run_stands_can_be_written_into_a_file() -> None:
    queue = LeaseQueue([RolloutKey("chart", "1")])
    queue.lease("local")
    state = executor_state(queue, (WorkerState("local"),))
    assert msgspec.json.decode(msgspec.json.encode(state), type=ExecutorState) == state
