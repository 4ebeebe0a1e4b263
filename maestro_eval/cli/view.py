"""``maestro-eval view``: look at runs and rollouts in a browser."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maestro_eval.cli import DONE
from maestro_eval.cli.arguments import add_include, listening, not_negative, positive
from maestro_eval.records import UserError
from maestro_eval.text import one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="RUN",
        help="run folders, or folders of them (default: results/ and the current folder)",
    )
    parser.add_argument("--port", type=not_negative, default=0, metavar="N", help="the port (default: a free one)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument(
        "--static", type=Path, metavar="DIR", help="write the pages as files into this new folder, and end"
    )
    parser.add_argument("--subset", type=positive, metavar="N", help="with --static: N samples, in every run the same")
    add_include(parser)


def run(arguments: argparse.Namespace) -> int:
    import asyncio

    from maestro_eval.view import Library

    folders = arguments.folders or [folder for folder in (Path("results"), Path()) if folder.is_dir()]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; name a run folder, or a folder of them")
    library = Library(arguments.folders)
    if arguments.folders and not library.runs() and not library.problems:
        raise UserError(f"{', '.join(map(str, folders))}: no runs here; name a run folder, or a folder of them")
    include = [Path(each) for each in arguments.include_path]
    if arguments.static is not None:
        _write(folders, arguments.static, arguments.subset, include)
    elif arguments.subset is not None:
        raise UserError("--subset: goes with --static; the page itself shows all rollouts")
    else:
        asyncio.run(_serve(folders, arguments.port, arguments.no_browser, include))
    return DONE


def _write(folders: list[Path], out: Path, subset: int | None, include: list[Path]) -> None:
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    from maestro_eval.view import Library, Pictures, write_static

    library = Library(folders, subset=subset)
    pictures = Pictures(include)
    columns = TextColumn("{task.completed:,} pages written, {task.total:,} known")
    console = Console(stderr=True)
    with Progress(columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=0)
        written = write_static(
            library, pictures, out, lambda done, known: progress.update(bar, completed=done, total=known)
        )
    library.close()
    lacking = "; ".join(f"{task}: {one_line(why)}" for task, why in pictures.lacking.items())
    why_fewer = f" (not all could be read: {lacking})" if lacking else ""
    print(f"pages    {written.pages:,}, with {written.pictures:,} pictures{why_fewer}")
    print(f"begin    {written.index}")


async def _serve(folders: list[Path], port: int, no_browser: bool, include: list[Path]) -> None:
    import asyncio

    from maestro_eval.view import Library, Pictures, Server, Site

    server = Server(lambda: Site(Library(folders), Pictures(include)))
    with listening(port):
        address = await server.start(port)
    try:
        print(f"the viewer is at {address}\nCtrl-C ends it")
        sys.stdout.flush()
        if not no_browser:
            _open(address)
        await asyncio.Event().wait()
    finally:
        await server.stop()


def _open(address: str) -> None:
    """Open a browser, if there is a screen to show it on."""
    import contextlib
    import os
    import webbrowser

    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(address)
