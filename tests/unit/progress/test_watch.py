"""What a user sees of a run: on a terminal, in a log, and with ``--quiet``."""

from __future__ import annotations

import contextlib
import io
import re
import threading
import time

import pytest
from patience import wait_until
from rich.console import Console
from small_worlds import small_manifest
from unit.runtime.live_worlds import finished, live, out

from maestro_eval.models.limiter import Places
from maestro_eval.progress import make_watcher, watch
from maestro_eval.progress.display import render
from maestro_eval.progress.facts import Facts, Pace, Running
from maestro_eval.progress.watch import last_line, line
from maestro_eval.records import AnswerAction, TaskRecord, Turn, Usage, UserError
from maestro_eval.runtime.status import TaskState, WorkerState

HOSTILE = "\x1b[2Jevil [bold]x[/bold]\n"


def facts(**changes: object) -> Facts:
    state = live(
        425, ended=12, failed=2, planned=40, flying=(out(since=400), out("8", since=410)),
        tokens=Usage(29_900, 345), places=Places(32, 7, 7, 17, 115, 6), **changes,
    )  # fmt: skip
    return Facts("router", state, Pace(2.0, 3870.0, 44.6), {"chart": Running(10, 7.0)})


def drawn(given: Facts, *, width: int = 100, height: int = 30) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(render(given, height))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


class TestTheDisplay:
    def test_shows_every_fact(self) -> None:
        text = drawn(facts())
        assert "router" in text
        assert "10/40 done · 2 failed · 2 in flight · 2/s · 7:05, 0:14 left" in text
        assert "tokens 29.9 k read, 345 written · 3.87 k/s, 44.6/s" in text
        assert re.search(r"^there +7 +7 +17 +115 +6 *$", text, re.MULTILINE)
        assert re.search(r"^chart +10 +40 +2 +70\.0 \[40–89\] +10 *$", text, re.MULTILINE)

    def test_a_task_that_is_not_judged_live_has_no_accuracy(self) -> None:
        given = facts()
        text = drawn(Facts(given.name, given.state, given.pace, {}))
        assert re.search(r"^chart +10 +40 +2 +– +– *$", text, re.MULTILINE)

    def test_says_what_it_waits_for_when_nothing_comes(self) -> None:
        assert "nothing committed" not in drawn(facts(moved=400.0))
        text = drawn(facts(moved=300.0))
        assert "nothing committed for 2:05; longest in flight: chart/7 on local, 0:25" in text

    def test_says_that_workers_start(self) -> None:
        workers = (WorkerState("ray-1", starting=True), WorkerState("ray-2"))
        assert "starting 1 workers" in drawn(facts(workers=workers))

    def test_says_that_it_stops(self) -> None:
        assert "stopping" in drawn(facts(stopping=True))

    @pytest.mark.parametrize("height", [10, 24, 50])
    def test_does_not_grow_beyond_the_screen(self, height: int) -> None:
        given = facts()
        many = {f"task-{n}": TaskState(5) for n in range(300)}
        endpoints = tuple(given.state.endpoints[0] for _ in range(80))
        state = given.state.__class__(1, 0, 0, many, endpoints=endpoints)
        text = drawn(Facts("s", state, Pace(), {}), height=height)
        assert len(text.splitlines()) <= max(height, 15) + 1
        assert "more" in text

    def test_names_cannot_act_on_the_terminal(self) -> None:
        given = facts(name=HOSTILE, task=HOSTILE, moved=0.0)
        text = drawn(Facts(HOSTILE, given.state, given.pace, {HOSTILE: Running(1, 1.0)}))
        assert "\x1b" not in text
        assert "[bold]" in text

    @pytest.mark.parametrize("width", [20, 60])
    def test_fits_narrow_terminals(self, width: int) -> None:
        assert max(map(len, drawn(facts(), width=width).splitlines())) <= width


class TestALine:
    def test_has_the_same_facts(self) -> None:
        assert line(facts()) == (
            "router: 10/40 rollouts, 2 failed, 2 in flight, 2/s, 0:14 left; tokens 29.9 k + 345, 44.6/s; "
            "there 7 + 17 waiting (6 errors); so far chart 70 [40–89]"
        )

    def test_is_one_line_whatever_the_names(self) -> None:
        given = facts(name=HOSTILE, task=HOSTILE)
        text = line(Facts(HOSTILE, given.state, given.pace, {HOSTILE: Running(1, 1.0)}))
        assert text.isprintable()

    def test_says_when_nothing_comes(self) -> None:
        assert "nothing committed for 2:05" in line(facts(moved=300.0))

    def test_the_last_one_says_what_came_of_it(self) -> None:
        assert last_line(facts()) == "router: 10/40 rollouts, 2 failed in 7:05"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


MANIFEST = small_manifest(TaskRecord("chart", "h", "integer", "mean", (), "", "", 10))


class TestAWatcher:
    def test_in_a_log_says_steps_warnings_lines_and_the_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watch._Log, "every_s", 0.05)
        monkeypatch.setattr(watch, "_STEP_S", 0.0)
        file = io.StringIO()
        watcher = make_watcher(quiet=False, file=file)
        with watcher.step("reading 1 tasks"):
            wait_until(file.getvalue)
        watcher.started(MANIFEST, live)
        watcher.committed([finished()])
        wait_until(lambda: "so far chart" in file.getvalue())
        watcher.warn("it\x1b stands")
        watcher.close()
        said = file.getvalue().splitlines()
        assert said[0] == "reading 1 tasks …"
        assert said[1].startswith("s: 10/40 rollouts, 0 in flight")
        assert "maestro-eval: it� stands" in said
        assert said[-1] == "s: 10/40 rollouts in 1:40"
        # An end that is told twice is one.
        watcher.close()
        assert file.getvalue().splitlines() == said

    def test_on_a_terminal_draws_and_gives_the_cursor_back(self) -> None:
        file = _Terminal()
        watcher = make_watcher(quiet=False, file=file)
        watcher.started(MANIFEST, live)
        watcher.close()
        assert "s: 10/40 rollouts in 1:40" in file.getvalue()
        assert file.getvalue().rindex("\x1b[?25h") > file.getvalue().rindex("\x1b[?25l")

    @pytest.mark.parametrize("fails", [False, True])
    def test_says_nothing_of_a_step_that_has_ended(self, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watch, "_STEP_S", 0.5)
        file = io.StringIO()
        watcher = make_watcher(quiet=False, file=file)
        with contextlib.suppress(UserError), watcher.step("reading 1 tasks"):
            if fails:
                raise UserError("no such task")
        time.sleep(0.7)
        watcher.started(MANIFEST, live)
        watcher.close()
        assert file.getvalue().splitlines() == ["s: 10/40 rollouts in 1:40"]

    def test_that_is_quiet_says_warnings_only_and_starts_no_thread(self) -> None:
        file = io.StringIO()
        watcher = make_watcher(quiet=True, file=file)
        with watcher.step("reading"):
            pass
        watcher.started(MANIFEST, live)
        assert "progress" not in {thread.name for thread in threading.enumerate()}
        watcher.warn("it stands")
        watcher.close()
        assert file.getvalue() == "maestro-eval: it stands\n"

    def test_serves_metrics_while_the_run_goes_on_quiet_or_not(self) -> None:
        import urllib.request

        file = io.StringIO()
        watcher = make_watcher(quiet=True, file=file, metrics_port=0)
        url = file.getvalue().removeprefix("metrics ").strip()
        watcher.started(MANIFEST, live)
        with urllib.request.urlopen(url) as response:
            assert 'maestro_rollouts_total{task="chart",state="answered"} 10' in response.read().decode()
        watcher.close()


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (Turn("<answer>4</answer>", AnswerAction("4"), reasoning="2+2"), "apart"),
        (Turn("2+2</think><answer>4</answer>", AnswerAction("4")), "in the text"),
        (Turn("<answer>4</answer>", AnswerAction("4")), None),
    ],
)
def test_where_the_server_puts_thoughts_is_said_once(turn: Turn, said: str | None) -> None:
    file = io.StringIO()
    watcher = make_watcher(quiet=True, file=file)
    watcher.committed([finished(turns=(turn,))])
    watcher.committed([finished("2", turns=(turn,))])
    lines = file.getvalue().splitlines()
    assert len(lines) == (said is not None)
    assert said is None or said in lines[0]
