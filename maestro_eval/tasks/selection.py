"""Choose the samples of a task: named ones, a range, a share, or a draw that preserves each category's share.

The choice is the same on every machine and in every process: the draw orders a category's samples by a hash of the
seed, the task and the sample's id. A larger draw with the same seed mostly contains the smaller one, so a run can grow.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from maestro_eval.records import Selection, UserError
from maestro_eval.tasks.file_task import Task


def choose(task: Task, selection: Selection, seed: int) -> list[str]:
    """Return the ids of the chosen samples in the order of the data.

    The steps in order: the named samples, skip ``offset``, the first ``limit`` (a fraction is that share, rounded up),
    a draw of ``subset``. UserError for an empty choice, or for a sample that does not exist.
    """
    check_selection(selection)
    chosen = task.ids()
    if selection.sample_ids is not None:
        chosen = _named(task.name, chosen, selection.sample_ids)
    chosen = chosen[selection.offset :]
    if not chosen:
        raise UserError(
            f"{task.name}: --offset {selection.offset} passes over all of its samples; choose a smaller one"
        )
    if selection.limit is not None:
        limit = selection.limit
        # The decimal fraction as written: a tenth of 70 is 7, not 8 for a binary fraction slightly above.
        chosen = chosen[: int(limit) if limit >= 1 else math.ceil(Fraction(repr(limit)) * len(chosen))]
    if selection.subset is not None and selection.subset < len(chosen):
        categories = task.categories()
        drawn = draw({one: categories[one] for one in chosen}, selection.subset, f"{seed}:{task.name}")
        chosen = [one for one in chosen if one in drawn]
    return chosen


def check_selection(selection: Selection) -> None:
    """Raise UserError for numbers that select nothing or are invalid, before any data is opened."""
    limit = selection.limit
    if limit is not None and not (0 < limit < 1 or (limit >= 1 and float(limit).is_integer())):
        raise UserError(f"--limit {limit}: expected a whole number from 1, or a fraction between 0 and 1")
    if selection.offset < 0:
        raise UserError(f"--offset {selection.offset}: expected 0 or more")
    if selection.subset is not None and selection.subset < 1:
        raise UserError(f"--subset {selection.subset}: expected a whole number from 1")
    if selection.sample_ids is not None and not selection.sample_ids:
        raise UserError("--sample-ids: names no sample")


def rows_needed(selection: Selection) -> int | None:
    """Return the number of leading samples that the choice needs; None if it may need the whole task."""
    limit = selection.limit
    if limit is None or limit < 1 or selection.sample_ids is not None:
        return None
    return selection.offset + int(limit)


def draw(categories: Mapping[str, str], count: int, salt: str) -> frozenset[str]:
    """Draw ``count`` of the ids: each category's share by largest remainders, and at least one if ``count`` allows.

    ``categories`` maps each id to its category.
    """
    members: dict[str, list[str]] = {}
    for one, category in categories.items():
        members.setdefault(category, []).append(one)
    shares = _shares({category: len(ids) for category, ids in members.items()}, count)
    return frozenset(
        one
        for category, ids in members.items()
        for one in sorted(ids, key=lambda one: hashlib.sha256(f"{salt}:{one}".encode()).digest())[: shares[category]]
    )


def read_sample_ids(path: Path) -> tuple[str, ...]:
    """Read lines of ``TASK ID`` (separated by a tab or a space) or ``ID``; skip lines that begin with ``#``."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"--sample-ids {path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--sample-ids {path}: cannot be read ({error})") from error
    written = [line.strip().replace("\t", " ", 1) for line in lines]
    found = tuple(dict.fromkeys(line for line in written if line and not line.startswith("#")))
    if not found:
        raise UserError(f"--sample-ids {path}: names no sample")
    return found


def check_sample_ids(selection: Selection, tasks: Sequence[str]) -> None:
    """Raise UserError for ids of a task that is not selected, if the name before the id shows that."""
    for written in selection.sample_ids or ():
        name, _, rest = written.partition(" ")
        if rest and name not in tasks and name.startswith(("maestro_", "lmms:")):
            raise UserError(f"--sample-ids: {written!r}: {name} is not among the selected tasks ({', '.join(tasks)})")


def _named(task: str, ids: Sequence[str], written: Sequence[str]) -> list[str]:
    known = set(ids)
    wanted: set[str] = set()
    unknown = []
    for one in written:
        own = one.removeprefix(f"{task} ").strip()
        if one in known:
            wanted.add(one)
        elif own in known:
            wanted.add(own)
        elif own != one or " " not in one:
            # 'OTHER ID' is a sample of another task; an id alone applies to every task.
            unknown.append(own)
    if unknown:
        shown = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        raise UserError(f"--sample-ids: {task} has no sample {shown} (write 'TASK ID' where ids are of one task only)")
    if not wanted:
        raise UserError(f"--sample-ids: names no sample of {task}; leave the task out, or name one")
    return [one for one in ids if one in wanted]


def _shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Divide a count among categories: proportional, never more than their size, adding up to ``count``."""
    total = sum(sizes.values())
    count = min(count, total)
    exact = {category: Fraction(count * size, total) for category, size in sizes.items()}
    shares = {category: math.floor(part) for category, part in exact.items()}
    # By name for equal remainders, so that the result does not depend on the order of the data.
    by_remainder = sorted(sizes, key=lambda category: (shares[category] - exact[category], category))
    for category in by_remainder[: count - sum(shares.values())]:
        shares[category] += 1
    if count >= len(sizes):
        for category in sorted(sizes):
            if shares[category] == 0:
                largest = max(sorted(shares), key=lambda other: shares[other])
                shares[largest] -= 1
                shares[category] = 1
    return shares
