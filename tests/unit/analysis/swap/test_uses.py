"""What a rollout called, and what of it was new."""

from __future__ import annotations

from msgspec.structs import replace
from unit.analysis.swap.swap_runs import BOTH, LARGE, NEW

from maestro_eval.analysis.swap import Use, uses_of
from maestro_eval.records import (
    Answered,
    ExpertCall,
    MalformedAction,
    RegistryRecord,
    Resolution,
    Rollout,
    RolloutKey,
    Turn,
)

KEY = RolloutKey("signs", "s")


def turn(expert: str | None, skill: str | None, *services: str) -> Turn:
    calls = tuple(ExpertCall("service", name, "m", "e", "?") for name in services)
    return Turn("…", MalformedAction("…"), resolution=Resolution(expert, skill, "exact"), calls=calls)


def use(*turns: Turn, registry: RegistryRecord = LARGE, entries: tuple[str, ...] = NEW) -> Use:
    ((key, found),) = uses_of([Rollout(KEY, Answered("7"), turns, "", "h", 0)], registry, entries)
    assert key == KEY
    return found


def test_calls_are_counted_and_the_last_one_is_told() -> None:
    assert use(turn("eye", "Look"), turn("ear", "Listen")) == BOTH
    assert use(turn("ear", "Look"), turn("eye", "Look")).last == ()
    assert use(turn("ear", "Look"), turn("eye", "Look")).touched


def test_a_rollout_that_calls_nobody_or_nobody_known_is_untouched() -> None:
    assert use() == Use()
    assert use(turn(None, "Listen"), turn("ear", None)) == Use()
    assert not use(turn("eye", "Look")).touched


def test_a_call_whose_evidence_is_new_is_a_call_of_a_new_entry() -> None:
    found = use(turn("eye", "Look", "spotter", "spotter"), entries=("services.spotter",))
    assert found == Use(1, 1, (("services.spotter", 1),), ("services.spotter",))


def test_a_neutral_name_is_read_as_the_name_in_the_file() -> None:
    renamed = replace(LARGE, renamed={"expert-a": "ear", "expert-b": "eye"})
    assert use(turn("expert-a", "Look"), registry=renamed).last == ("experts.ear",)
    assert use(turn("expert-b", "Look"), registry=renamed).last == ()
