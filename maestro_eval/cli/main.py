"""The entry point: find the command, run it, turn failures into one line and an exit code.

Exit codes: 0 done, 3 done with failed rollouts, 4 interrupted (resumable), 2 bad input, 5 a check that disagrees,
1 a defect of ours.
A command's module is imported only when it is the one asked for, so that ``--help`` stays instant. It has
``add_arguments`` and ``run``; where it has ``COMMON``, its ``--help`` shows these flags and its ``EXAMPLE`` alone, and
``--help-all`` shows the rest.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Collection, Sequence
from typing import NoReturn

COMMANDS = {
    "run": "run a policy on tasks, score the rollouts, print the table",
    "resume": "run what an interrupted or failed run still lacks",
    "runs": "list run folders: progress, failures, means",
    "judge": "have a model judge a run's answers where authors do",
    "score": "score a run folder again, from its journal alone",
    "compare": "compare runs: accuracies, means, paired differences",
    "swap": "report what another registry changed",
    "reproduce": "test runs against published numbers",
    "report": "write one page: tables, plots, routing, costs",
    "prices": "print a price table of the models called, to fill in",
    "view": "look at runs and rollouts in a browser",
    "export": "write a run for lmms-eval, inspect_ai, the Hub, …",
    "verify": "check the records and numbers of a run or submission",
    "replay": "roll a run out again from one turn on, another call",
    "serve": "start a registry's models on this machine's GPUs",
    "serve-embedded": "serve the embedded experts, which need no GPU",
    "serve-simulated": "serve a simulated model, for dry runs and tests",
    "registry": "list, check, show, compare or import registries",
    "tasks": "list, show or check tasks, or make the mini benchmarks",
    "conformance": "compare a recording of another system with ours",
    "doctor": "check what this machine has and lacks",
    "completion": "print a completion script for bash, zsh or fish",
}
# What lmms-eval calls otherwise than we do; its underscores are read as hyphens anyway.
_LMMS_EVAL = {"--output-path": "--out"}
DONE, DEFECT, BAD_INPUT, DONE_WITH_FAILURES, INTERRUPTED, DISAGREES = 0, 1, 2, 3, 4, 5


def entry() -> NoReturn:
    """The program: ``main``, and an end that waits for no thread that is stuck (see ``runtime.threads``)."""
    code = main()
    threads = sys.modules.get("maestro_eval.runtime.threads")
    if threads is not None and threads.left_behind():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = _hyphenated(sys.argv[1:] if arguments is None else arguments)
    parser = make_parser([next((word for word in given if not word.startswith("-")), "")])
    chosen = parser.parse_args(given)
    # Imported after parsing: ``--help`` and a typo need neither.
    from maestro_eval.records import MaestroError, RolloutFailure

    try:
        code: int = chosen.run(chosen)
        # Here, where a reader that went away can still be handled, and not at the interpreter's exit.
        sys.stdout.flush()
        return code
    except RolloutFailure as failure:
        return _fail(f"{failure.cause}: {failure.detail}", DEFECT)
    except MaestroError as error:
        return _fail(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return _fail("interrupted; what was done is kept", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        return DONE
    except Exception as defect:  # whatever it is, the user gets a line that says it is not their fault
        traceback.print_exc()
        return _fail(f"this is a defect of maestro-eval: {type(defect).__name__}: {defect}", DEFECT)


def _hyphenated(given: Sequence[str]) -> list[str]:
    """Read ``--top_p``, as lmms-eval spells it, as ``--top-p``; values stay as they are."""
    words = []
    for word in given:
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            flag = flag.replace("_", "-")
            word = _LMMS_EVAL.get(flag, flag) + equals + value
        words.append(word)
    return words


def make_parser(wanted: Collection[str] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of all commands; only the ``wanted`` ones know their arguments."""
    parser = _Parser(
        prog="maestro-eval",
        description="Evaluate orchestrated multimodal agents: rollouts against registries of experts, with error bars.",
        epilog="maestro-eval COMMAND --help says more. First steps: maestro-eval run --preset quickstart --out DIR",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name in wanted:
            module = importlib.import_module(f"maestro_eval.cli.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
            if common := getattr(module, "COMMON", ()):
                command.show_first(common, module.EXAMPLE)
    return parser


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line: a long usage above it hides it. Its subparsers are like it."""

    _common: frozenset[str] = frozenset()
    _example = ""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}; {self.prog} --help says what there is\n")

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
    """Print the help that argparse makes of all flags."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(argparse.ArgumentParser.format_help(parser), end="")
        parser.exit()


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: the look-up costs more than all of ``--help``."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        try:
            print(f"maestro-eval {metadata.version('maestro-eval')}")
        except metadata.PackageNotFoundError:
            print("maestro-eval (not installed; run from a checkout)")
        parser.exit()


def _fail(message: str, code: int) -> int:
    print(f"maestro-eval: {printable(message)}", file=sys.stderr)
    return code


def printable(message: str) -> str:
    """``message`` in one line: names from files and replies of endpoints may hold what steers a terminal."""
    return "".join(character if character.isprintable() else "�" for character in " ".join(message.split()))


if __name__ == "__main__":
    entry()
