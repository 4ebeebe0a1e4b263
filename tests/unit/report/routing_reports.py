"""Routing reports to arrange and draw: of two systems, and of a hostile one."""

from __future__ import annotations

from msgspec.structs import replace
from unit.report.report_comparisons import HOSTILE

from maestro_eval.analysis.routing import Behaviour, CallAccuracy, Cost, Latency, Routing
from maestro_eval.analysis.routing.build import Blame
from maestro_eval.analysis.routing.costs import TokenUse
from maestro_eval.analysis.stats.estimates import Estimate, wilson
from maestro_eval.records import Usage


def behaviour(task: str, **changes: object) -> Behaviour:
    whole = Behaviour(task, 40, 2, {2: 30, 3: 10}, 90, 3, 1, 2, 0, 50, 5, 1)
    return replace(whole, **changes)


def routing(system: str = "router", *, word: str = "", currency: str = "") -> Routing:
    """Of two benchmarks; ``word`` stands in every name."""
    tasks = (f"maestro_signs{word}", f"maestro_counts{word}")
    reader, counter, read, count = f"reader{word}", f"counter{word}", f"Read{word}", f"Count{word}"
    each = Estimate(0.02, 0.015, 0.03, 40, "cost over accuracy; wilson")
    return Routing(
        system=system,
        policy="router",
        protocol="official",
        tasks=tasks,
        mix={
            tasks[0]: {f"{reader}@@{read}": 30, f"{counter}@@{read}": 20},
            tasks[1]: {f"{counter}@@{count}": 50},
        },
        accuracy_given=(
            CallAccuracy("", counter, "", 70, wilson(30, 60), 0),
            CallAccuracy("", counter, count, 50, wilson(20, 40), 0),
            CallAccuracy("", reader, "", 30, wilson(15, 30), 1),
            CallAccuracy("", reader, read, 30, wilson(15, 30), 1),
            CallAccuracy(tasks[0], reader, "", 30, wilson(15, 30), 1),
            CallAccuracy(tasks[1], counter, "", 50, wilson(20, 40), 0),
        ),
        behaviour=tuple(map(behaviour, tasks)),
        malformed={f"no complete call{word}": 3},
        unresolved={f"nobody@@Read{word}": 2},
        never_called={"experts": (f"idle{word}",), "skills": (), "services": ()},
        blame=(
            Blame(tasks[0], "policy", "an observation held the right answer", 4),
            Blame(tasks[0], "expert", "no expert asked supplied it", 12),
            Blame(tasks[1], "harness", "never ran", 2),
        ),
        tokens=tuple(TokenUse(task, 40, Usage(4000, 400), Usage(800, 100), Usage(), Usage(), 0) for task in tasks),
        latencies=(
            Latency("expert", reader, 30, 0.5, 1.25, 3.0, 0.7, cached=4, failed=1),
            Latency("endpoint", f"http://there/v1{word}", 0, None, None, None),
        ),
        rollout_seconds={task: Latency("rollout", task, 40, 2.0, 4.0, 9.0, 2.5) for task in (*tasks, "")},
        costs=tuple(Cost(task, 40, 0.4, 0.3, each) if currency else Cost(task, 40, None, None, None) for task in tasks),
        currency=currency,
    )


def hostile() -> Routing:
    return routing(HOSTILE, word=HOSTILE, currency=HOSTILE)
