"""A registry swap in tables, as Markdown and as JSON: the words and numbers of ``analysis.swap``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from maestro_eval.analysis import Estimate
from maestro_eval.analysis.swap import Adoption, Interference, ScopeEffect, StratumEffect, Swap
from maestro_eval.files import write_atomic
from maestro_eval.report.cells import MISSING, Cell, Column, Row, Table, points, printable, short_task
from maestro_eval.report.markdown import markdown_tables
from maestro_eval.report.swap_robustness import robustness_tables

_DECIMALS = 6
_NO_ENTRY = "no new entry"

SWAP_NOTE = (
    "Δ: augmented − base in points on the same samples [95 % interval]. Touched rollouts called a new entry, untouched "
    "ones did not; the parts of both add up to Δ. docs/swap.md says what may be concluded from strata that the policy "
    "itself chose."
)
ADOPTION_NOTE = (
    "Touched samples gained where they score higher than in the base run, lost where lower; of those that failed in "
    "either run nothing is known."
)
CREDIT_NOTE = (
    "A gained or lost sample is put down to the new entries that its last call named, in equal parts; calls of "
    f"{_NO_ENTRY!r} are the others."
)


def swap_tables(swap: Swap) -> tuple[Table, ...]:
    """All tables of the report, those that carry the conclusion first."""
    return (
        _effect_table(swap),
        *_domain_tables(swap),
        _adoption_table(swap),
        *_choice_tables(swap),
        _credit_table(swap),
        *([_interference_table(swap.interference)] if swap.interference and swap.interference.samples else []),
        *(robustness_tables(swap.robustness, _titles(swap)) if swap.robustness else ()),
    )


def swap_notes(swap: Swap) -> tuple[str, ...]:
    """What a reader of the tables must know, beginning with what was swapped."""
    entries = swap.entries
    kinds = {"added": entries.added, "changed": entries.changed, "removed": entries.removed}
    listed = "; ".join(f"{what}: {', '.join(names)}" for what, names in kinds.items() if names)
    allowed = (
        f"by --allow the runs differ in {each.field} too: {each.base} in {swap.base}, {each.augmented} in "
        f"{swap.augmented}; the differences are not the registry's alone"
        for each in swap.allowed
    )
    lines = (
        f"{swap.base_registry} → {swap.augmented_registry}: {listed or 'no entry differs'}",
        *allowed,
        *([_interference_note(swap.interference)] if swap.interference else []),
        *swap.notes,
    )
    return (SWAP_NOTE, ADOPTION_NOTE, CREDIT_NOTE, *map(printable, lines))


def render_swap(swap: Swap) -> str:
    """The report as Markdown, ending in a newline."""
    # A document of its own: its heading is of the first level.
    return markdown_tables("Registry swap", swap_tables(swap), swap_notes(swap)).removeprefix("#")


def write_swap(folder: Path, swap: Swap) -> tuple[Path, Path]:
    """Write ``swap.md`` and ``swap.json`` into ``folder``, each whole or not at all."""
    report, numbers = folder / "swap.md", folder / "swap.json"
    write_atomic(report, render_swap(swap))
    encoded = msgspec.json.encode({"schema": 1, **_rounded(msgspec.to_builtins(swap))})
    write_atomic(numbers, msgspec.json.format(encoded, indent=2) + b"\n")
    return report, numbers


def _effect_table(swap: Swap) -> Table:
    columns = (
        Column("Δ"),
        Column("n", minor=True),
        Column("touched"),
        Column("Δ touched"),
        Column("Δ untouched"),
        Column("part touched", minor=True),
        Column("part untouched", minor=True),
    )
    rows = tuple(
        Row(
            _title(effect),
            (
                _difference(effect.whole),
                Cell(str(effect.whole.n)),
                _share(effect.touched),
                _difference(effect.touched.difference),
                _difference(effect.untouched.difference),
                Cell(_points(effect.touched.part)),
                Cell(_points(effect.untouched.part)),
            ),
            is_mean=effect.kind == "mean",
        )
        for effect in swap.effects
    )
    return Table(f"{printable(swap.augmented)} against {printable(swap.base)}", columns, rows, corner="on")


def _domain_tables(swap: Swap) -> Iterator[Table]:
    if swap.domains:
        columns = (Column("Δ in-domain"), Column("Δ out-of-domain"), Column("out − in"), Column("tasks", minor=True))
        rows = tuple(
            Row(
                "mini benchmarks" if each.mini else "benchmarks",
                (
                    _difference(each.in_domain),
                    _difference(each.out_of_domain),
                    _difference(each.difference),
                    Cell(f"{len(each.in_tasks)}, {len(each.out_tasks)}"),
                ),
            )
            for each in swap.domains
        )
        yield Table("difference in differences", columns, rows, corner="of")


def _adoption_table(swap: Swap) -> Table:
    titles = ("calls", "to new entries", "touched", "gained", "lost", "same", "failed")
    rows = tuple(
        Row(
            short_task(each.task),
            (
                Cell(str(each.calls)),
                Cell(MISSING if each.share is None else f"{100 * each.share:.1f} %"),
                *(Cell(str(count)) for count in (each.touched, each.gained, each.lost, each.same, each.failed)),
            ),
        )
        for each in swap.adoption
    )
    columns = tuple(Column(title, minor=title == "failed") for title in titles)
    return Table("adoption: calls, and touched samples", columns, rows, corner="task")


def _choice_tables(swap: Swap) -> Iterator[Table]:
    rows = tuple(_choice_row(each) for each in swap.adoption if each.choices)
    if rows:
        columns = tuple(map(Column, ("a new pair is better", "neither is", "an old pair is better", "failures hide")))
        yield Table("adopted of explored samples, where …", columns, rows, corner="task")


def _choice_row(adoption: Adoption) -> Row:
    choices = adoption.choices
    assert choices is not None
    pairs = (
        (choices.adopted_new_better, choices.new_better),
        (choices.adopted_equal, choices.equal),
        (choices.adopted_old_better, choices.old_better),
    )
    cells = (*(Cell(f"{_count(some)} of {all_}") for some, all_ in pairs), Cell(str(choices.open)))
    return Row(short_task(adoption.task), cells)


def _credit_table(swap: Swap) -> Table:
    rows = tuple(
        Row(
            printable(each.entry) if each.entry else _NO_ENTRY,
            (
                Cell(str(each.calls)),
                Cell(_count(each.gains)),
                Cell(_count(each.losses)),
                Cell(f"{each.net:+.4g}".replace("-", "−") if each.net else "0"),
            ),
        )
        for each in swap.credits
    )
    columns = tuple(map(Column, ("calls", "gains", "losses", "net")))
    return Table("gains and losses by entry", columns, rows, corner="entry")


def _interference_table(found: Interference) -> Table:
    rows = tuple(
        Row(
            f"{short_task(each.task)}: {printable(each.sample_id)}",
            (
                Cell(f"{each.base:.4g}"),
                Cell(f"{each.augmented:.4g}"),
                Cell(printable(", ".join(each.entries)) or _NO_ENTRY),
            ),
        )
        for each in found.samples
    )
    columns = (Column("base"), Column("augmented"), Column("last call named", text=True))
    return Table("in-domain samples lost where a new entry was called", columns, rows, corner="sample")


def _interference_note(found: Interference) -> str:
    listed = f"; the first {len(found.samples)} are listed" if len(found.samples) < found.lost else ""
    return (
        f"interference: where a new entry was called, {found.lost} in-domain samples were lost and {found.gained} "
        f"gained{listed}; where none was, {found.lost_untouched} lost and {found.gained_untouched} gained"
    )


def _titles(swap: Swap) -> dict[str, str]:
    return {effect.scope: _title(effect) for effect in swap.effects}


def _title(effect: ScopeEffect) -> str:
    name = short_task(effect.scope, mini=effect.mini or None)
    return f"mean of {name}" if effect.kind == "mean" else name


def _difference(estimate: Estimate | None) -> Cell:
    return Cell(MISSING) if estimate is None else Cell(*points(estimate))


def _share(stratum: StratumEffect) -> Cell:
    return Cell(f"{100 * stratum.share:.1f} %")


def _points(value: float) -> str:
    return points(Estimate(value, value, value, 0, ""))[0]


def _count(number: float) -> str:
    return f"{number:.4g}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        # Adding zero turns −0.0, which rounding can leave, into 0.0.
        return round(value, _DECIMALS) + 0.0
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, Iterable) and not isinstance(value, str) else value
