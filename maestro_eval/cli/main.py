"""The entry point: finds the command, runs it, turns failures into one line and an exit code.

Exit codes: 0 done, 3 done with failed rollouts, 4 interrupted (resumable), 2 bad input, 5 a check that disagrees, 1 a
defect of ours.

The core's own commands are listed here, all others by the entry points ``maestro_eval.commands``: a module that is a
command (see ``maestro_eval.cli``); ``NAME.ACTION`` is an action of the command NAME. The first line of the module's
docstring, after a colon if it has one, is the command's help. A command's module is imported only when that command is
requested, so that ``--help`` stays instant. If it has ``COMMON``, its ``--help`` shows only these flags and its
``EXAMPLE``, and ``--help-all`` shows the rest.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
import tokenize
import traceback
from collections.abc import Collection, Sequence
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from maestro_eval.cli import BAD_INPUT, DEFECT, DONE, INTERRUPTED
from maestro_eval.plugins import Door, uninstalled

CORE = (
    "run", "resume", "runs", "judge", "score", "compare", "swap", "reproduce", "report", "prices", "view", "replay",
    "registry", "tasks", "completion",
)  # fmt: skip
# Flags that lmms-eval names differently; its underscores are read as hyphens anyway.
_LMMS_EVAL = {"--output-path": "--out"}
_BEFORE_DOCSTRING = (tokenize.ENCODING, tokenize.COMMENT, tokenize.NL)


COMMANDS = Door[Any](
    "command",
    "commands",
    {name: f"maestro_eval.cli.{name}" for name in CORE},
    lambda found: found if hasattr(found, "add_arguments") and hasattr(found, "run") else None,
    "a module with add_arguments(parser) and run(arguments)",
)


def entry() -> NoReturn:
    """Run ``main`` and exit without waiting for a thread that is stuck (see ``runtime.threads``)."""
    code = main()
    threads = sys.modules.get("maestro_eval.runtime.threads")
    if threads is not None and threads.left_behind():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    given = _hyphenated(sys.argv[1:] if arguments is None else arguments)
    try:
        chosen = make_parser([next((word for word in given if not word.startswith("-")), "")]).parse_args(given)
        if folders := getattr(chosen, "include_path", ()):
            from maestro_eval.tasks import trust

            trust(map(Path, folders))
        code: int = chosen.run(chosen)
        # Here, where a closed pipe can still be handled, and not at the interpreter's exit.
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _fail("interrupted; what was done is kept", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        return DONE
    except Exception as error:
        # Neither ``--help`` nor a typo waits for the import of the records.
        from maestro_eval.records import MaestroError, RolloutFailure

        match error:
            case RolloutFailure():
                return _fail(f"{error.cause}: {error.detail}", DEFECT)
            case MaestroError():
                return _fail(str(error), BAD_INPUT)
        # For any exception, the user gets a line that says it is not their fault.
        traceback.print_exc()
        return _fail(f"this is a defect of maestro-eval: {type(error).__name__}: {error}", DEFECT)


def _hyphenated(given: Sequence[str]) -> list[str]:
    """Read ``--top_p``, as lmms-eval spells it, as ``--top-p``; values stay unchanged."""
    words = []
    for word in given:
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            flag = flag.replace("_", "-")
            word = _LMMS_EVAL.get(flag, flag) + equals + value
        words.append(word)
    return words


def make_parser(wanted: Collection[str] | None = None) -> argparse.ArgumentParser:
    """Make the parser of all commands; only the ``wanted`` ones (None: all) get their arguments."""
    parser = _Parser(
        prog="maestro-eval",
        description="Evaluate orchestrated multimodal agents: rollouts against registries of experts, with error bars.",
        epilog="maestro-eval COMMAND --help says more. First steps: maestro-eval run --preset quickstart --out DIR",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    # A command of the core does not wait for a search of all installed packages.
    core = wanted is not None and set(wanted) <= set(CORE)
    for name in CORE if core else (each for each in COMMANDS.names() if "." not in each):
        command = _add(commands, name)
        if wanted is None or name in wanted:
            _fill(command, name)
    return parser


def _add(parsers: argparse._SubParsersAction[_Parser], name: str) -> _Parser:
    what = summary(name)
    return parsers.add_parser(name.rpartition(".")[2], help=what, description=f"{what[:1].upper()}{what[1:]}.")


def summary(name: str) -> str:
    """Return in one line what a command or an action does. Imports neither its module nor the packages around it."""
    module = COMMANDS.place(name)
    # An editable package has a finder of its own; the parts below are in its folders.
    path, *below = module.split(".")
    spec = find_spec(path)
    for part in below:
        path = f"{path}.{part}"
        spec = spec and PathFinder.find_spec(path, list(spec.submodule_search_locations or ()))
    if spec is None:
        return f"(not found: {module})"
    try:
        # Parsing the whole of each module would take most of the time of `--help`.
        with Path(spec.origin or "").open("rb") as file:
            tokens = tokenize.tokenize(file.readline)
            first = next(token for token in tokens if token.type not in _BEFORE_DOCSTRING)
        docstring = ast.literal_eval(first.string) if first.type == tokenize.STRING else ""
    except (OSError, SyntaxError, ValueError, tokenize.TokenError):
        return f"(cannot be read: {spec.origin})"
    return str(docstring).strip().partition("\n")[0].rpartition("``: ")[2].rstrip(".")


def _fill(parser: _Parser, name: str) -> None:
    """Add the arguments of a command to ``parser``, and the actions that others add to it."""
    module = COMMANDS.find(name)
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
    if common := getattr(module, "COMMON", ()):
        parser.show_first(common, module.EXAMPLE)
    for action in [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]:
        for added in (each for each in COMMANDS.names() if each.startswith(f"{name}.")):
            if added.rpartition(".")[2] not in action.choices:
                _fill(_add(action, added), added)


class _Parser(argparse.ArgumentParser):
    """Reports errors in one line: a long usage above would hide it. Its subparsers do the same."""

    _common: frozenset[str] = frozenset()
    _example = ""

    def error(self, message: str) -> NoReturn:
        lack = uninstalled() if "invalid choice" in message else ""
        self.exit(BAD_INPUT, f"{self.prog}: {message}; see {self.prog} --help{lack}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse unknown arguments under the command's name; argparse would leave them to the parent parser."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def show_first(self, flags: Collection[str], example: str) -> None:
        """Let ``--help`` show positional arguments, these flags and an example, and ``--help-all`` everything."""
        self._common = frozenset(flags)
        self._example = f"example:\n  {example}"
        self.add_argument("--help-all", action=_HelpAll, nargs=0, help="show all flags and exit")

    def format_help(self) -> str:
        if not self._common:
            return super().format_help()
        shown = [each for each in self._actions if not each.option_strings or self._common & {*each.option_strings}]
        formatter = argparse.RawDescriptionHelpFormatter(self.prog)
        formatter.add_usage(None, [each for each in shown if each.required], [], None)
        formatter.add_text(self.description)
        formatter.add_text(self._example)
        formatter.start_section("common flags (--help-all shows all)")
        formatter.add_arguments(shown)
        formatter.end_section()
        return formatter.format_help()


class _HelpAll(argparse.Action):
    """Prints argparse's help of all flags."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(argparse.ArgumentParser.format_help(parser), end="")
        parser.exit()


class _Version(argparse.Action):
    """Looks the version up only on request: that takes longer than all of ``--help``."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        try:
            print(f"maestro-eval {metadata.version('maestro-eval')}")
        except metadata.PackageNotFoundError:
            print("maestro-eval (not installed; run from a checkout)")
        parser.exit()


def _fail(message: str, code: int) -> int:
    from maestro_eval.text import one_line

    print(f"maestro-eval: {one_line(message)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    entry()
