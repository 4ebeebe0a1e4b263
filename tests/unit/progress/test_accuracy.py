from __future__ import annotations

from unit.runtime.live_worlds import finished

from maestro_eval.progress.facts import Judge, Running
from maestro_eval.records import Answered, Exhausted, Failed, TaskRecord


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def task(name: str = "chart", metric: str = "integer", released: str = "") -> TaskRecord:
    return TaskRecord(name, "h", metric, "mean", (), "", "", 10, released)


def test_right_wrong_and_exhausted_are_judged_and_failed_ones_are_no_wrong_answers() -> None:
    judge = Judge([task()], "official")
    judge.offer([finished("1"), finished("2", Answered("5")), finished("3", Exhausted("turns"))])
    judge.offer([finished("4", Failed("expert", "gone"))])
    assert judge.work() == {"chart": Running(3, 1.0)}


def test_the_interval_is_wilsons() -> None:
    estimate = Running(10, 7.0).estimate()
    assert estimate is not None
    assert (estimate.value, round(estimate.low, 3), round(estimate.high, 3)) == (0.7, 0.397, 0.892)
    assert Running().estimate() is None


def test_what_computes_or_runs_programs_is_not_judged() -> None:
    judge = Judge([task("maths", "math"), task("code", "python_tests"), task("other", "lmms")], "official")
    judge.offer([finished(task="maths"), finished(task="code"), finished(task="other")])
    assert judge.work() == {}


def test_under_the_released_protocol_its_rule_decides_whether_it_is_quick() -> None:
    judge = Judge([task("a", "math", "chartqa"), task("b", "integer", "math"), task("c", "integer")], "released")
    assert judge.work().keys() == {"a", "b"}


def test_judging_never_takes_more_than_its_share_of_the_time() -> None:
    clock, cpu = Clock(), Clock()

    class Costly(Judge):
        def _judge(self, finished):
            super()._judge(finished)
            cpu.now += 0.01

    judge = Costly([task()], "official", clock=clock, cpu=cpu)
    judged = 0
    for second in range(1, 101):
        clock.now = second
        judge.offer([finished(str(n)) for n in range(100)])
        judged = judge.work()["chart"].judged
    # 0.5 % of 100 s are 0.5 s: 50 of them, and a little to begin with.
    assert 50 <= judged <= 53
    assert cpu.now <= 0.53


def test_what_waits_is_bounded_and_the_latest_are_kept() -> None:
    judge = Judge([task()], "official", cpu=lambda: 0.0)
    judge.offer([finished(str(n), Answered("5")) for n in range(5000)])
    judge.offer([finished(str(n)) for n in range(256)])
    assert judge.work()["chart"] == Running(256, 256.0)


def test_a_judge_that_breaks_does_not_break_the_display(monkeypatch) -> None:
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("maestro_eval.progress.facts.score_rollout", broken)
    judge = Judge([task()], "official")
    judge.offer([finished()])
    assert judge.work() == {"chart": Running()}
