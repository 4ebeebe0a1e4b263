"""One run under several protocols, side by side: the last thing that ``score --protocol all`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, TYPE_CHECKING

from maestro_eval.analysis import Comparison, SystemResult
from maestro_eval.report.cells import FAILURE_MARK, MISSING, percent, printable, short_task
from maestro_eval.report.layout import FAILURE_NOTE

if TYPE_CHECKING:
    from rich.console import Console

_NOTE = "Accuracy in percent [95 % interval], of the same rollouts under each protocol."
_NO_SCORER = "= : no released scorer, so released judges as official does."


def show_protocols(comparisons: Mapping[str, Comparison], file: IO[str] | None = None) -> None:
    """Print a table of task × protocol for each system; ``comparisons`` are of the same runs, by protocol.

    What the encoding of ``file`` (standard output) does not have is printed as "?".
    """
    from rich.console import Console

    console = Console(file=file, highlight=False, markup=False)
    encoding = getattr(console.file, "encoding", None) or "utf-8"
    if not encoding.lower().startswith("utf"):
        with console.capture() as captured:
            _draw(comparisons, console)
        console.file.write(captured.get().encode(encoding, "replace").decode(encoding))
    else:
        _draw(comparisons, console)


def _draw(comparisons: Mapping[str, Comparison], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    notes = {_NOTE: None}
    for number, system in enumerate(next(iter(comparisons.values())).systems):
        table = Table(title=Text(printable(system.name)), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
        table.add_column("task", overflow="fold")
        for protocol in comparisons:
            table.add_column(protocol, justify="right", no_wrap=True)
        for task in system.tasks:
            cells = [_cell(compared.systems[number], task) for compared in comparisons.values()]
            table.add_row(Text(short_task(task)), *map(Text, cells))
            notes |= {FAILURE_NOTE: None} if any(FAILURE_MARK in cell for cell in cells) else {}
            notes |= {_NO_SCORER: None} if any(cell.startswith("= ") for cell in cells) else {}
        console.print(table)
        console.print()
    console.print(Text("\n".join(notes), style="dim"))


def _cell(system: SystemResult, name: str) -> str:
    task = system.tasks.get(name)
    if task is None:
        return MISSING
    value, interval = percent(task.accuracy)
    failed = f"{FAILURE_MARK}{task.n_failed}" if task.n_failed else ""
    borrowed = system.protocol == "released" and not any(
        record.released for record in system.manifest.tasks if record.name == name
    )
    return f"{'= ' if borrowed else ''}{value}{failed} {interval}"
