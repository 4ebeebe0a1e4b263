"""The refusal to call a difference a registry's when something else differs too."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

import msgspec
from msgspec import Struct

from maestro_eval.analysis.notes import selection_text
from maestro_eval.analysis.swap.records import Allowed
from maestro_eval.records import RunManifest, UserError

_LISTED = 3
_SHOWN = 60
_FIELDS = (
    "policy", "policy-model", "regime", "sampling", "seed", "repeats", "selection", "variant", "accepted", "tasks",
    "data",
)  # fmt: skip


def settle_settings(
    base: RunManifest, augmented: RunManifest, allow: Collection[str] = (), *, flag: str = "--swap"
) -> tuple[Allowed, ...]:
    """What differs between the runs besides the registry, all of it named in ``allow``.

    UserError naming every field that differs and is not in ``allow``, and for an unknown one. Code versions and
    hardware are not compared. Task definitions and sample contents are: ``compare`` refuses what differs there.
    """
    for name in allow:
        if name not in _FIELDS:
            close = difflib.get_close_matches(name, _FIELDS, n=1)
            raise UserError(
                f"--allow {name}: unknown field; "
                + (f"did you mean {close[0]}?" if close else f"it takes {', '.join(_FIELDS)}")
            )
    found = list(_differing(base, augmented))
    refused = [each for each in found if each.field not in allow]
    if refused:
        first = refused[0]
        also = "".join(f", and {each.what}" for each in refused[1:])
        flags = " ".join(f"--allow {name}" for name in dict.fromkeys(each.field for each in refused))
        raise UserError(
            f"{flag}: {first.what} differs between {base.system} ({first.base[:_SHOWN]}) and {augmented.system} "
            f"({first.augmented[:_SHOWN]}){also}; run both alike but for the registry, or say {flags}"
        )
    return tuple(Allowed(each.what, each.base, each.augmented) for each in found)


class _Difference(Struct, frozen=True):
    """``field`` is its name for ``--allow``, ``what`` that for a reader."""

    field: str
    what: str
    base: str
    augmented: str


def _differing(base: RunManifest, augmented: RunManifest) -> Iterator[_Difference]:
    both = (base, augmented)
    plain = {
        "policy": [each.policy for each in both],
        "policy-model": [each.policy_model for each in both],
        "seed": [str(each.seed) for each in both],
        "repeats": [str(each.repeats) for each in both],
        "selection": [selection_text(each.selection) for each in both],
        # What is left out is what a swap may be of; order and names are not.
        "variant": [f"permute={each.registry.variant.permute}, rename={each.registry.variant.rename}" for each in both],
        "accepted": [", ".join(sorted({one.field for one in each.accepted})) or "none" for each in both],
        "tasks": [", ".join(sorted(task.name for task in each.tasks)) for each in both],
    }
    for name, (was, now) in plain.items():
        if was != now or (name == "selection" and base.selection != augmented.selection):
            yield _Difference(name, name.replace("-", " "), was, now)
    for name in ("regime", "sampling"):
        was, now = (msgspec.to_builtins(getattr(each, name)) for each in both)
        # The name of a regime says what its fields say.
        fields = [field for field in was if was[field] != now[field] and (name, field) != ("regime", "name")]
        if fields:
            listed = ", ".join(fields[:_LISTED])
            yield _Difference(
                name, f"{name} ({listed})", *(", ".join(str(one[f]) for f in fields[:_LISTED]) for one in (was, now))
            )
    data = {task.name: task.data_hash for task in base.tasks}
    for task in augmented.tasks:
        if data.get(task.name, task.data_hash) != task.data_hash:
            yield _Difference("data", f"data of {task.name}", data[task.name][:12], task.data_hash[:12])
