"""The entry point: find the command, run it, turn failures into one line and an exit code.

Exit codes: 0 done, 3 done with failed rollouts, 4 interrupted (resumable), 2 bad input, 5 a check that disagrees,
1 a defect of ours.
A command's module is imported only when it is the one asked for, so that ``--help`` stays instant.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

COMMANDS = {
    "run": "run rollouts of a policy on tasks, score them and print the table",
    "resume": "go on with a run folder that was interrupted or has failed rollouts",
    "judge": "have a model judge a run's answers, for the benchmarks whose authors do",
    "score": "score a run folder again, from its journal alone",
    "compare": "compare run folders: accuracies, means, paired differences",
    "reproduce": "say whether runs reach published numbers, and what differs from how those were made",
    "report": "write all that is known of some runs into one page: tables, plots, routing, costs",
    "view": "look at runs and rollouts in a browser: pictures, calls, verdicts, two systems side by side",
    "export": "write a run for lmms-eval, inspect_ai, Hugging Face or a leaderboard",
    "verify": "check a run folder or a submission: its records, its verdicts, its numbers",
    "replay": "roll a run out again from one turn on with another call, and say what that was worth",
    "serve": "start a registry's models on the GPUs at hand and keep them up",
    "serve-embedded": "serve the embedded experts, which need no GPU",
    "serve-simulated": "serve a simulated model, to dry-run a registry or to test a client",
    "registry": "list, check, show, compare or import registries",
    "tasks": "list or show tasks, or make the mini benchmarks",
    "conformance": "hold a recording of another system against ours, case by case",
    "doctor": "say what this machine has and lacks",
}
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
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(given)
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


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="maestro-eval",
        description="Evaluate orchestrated multimodal agents: rollouts against registries of experts, with error bars.",
        epilog="maestro-eval COMMAND --help says more. First steps: maestro-eval run --preset quickstart --out DIR",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    named = next((word for word in given if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == named:
            module = importlib.import_module(f"maestro_eval.cli.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line: a long usage above it hides it. Its subparsers are like it."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}; {self.prog} --help says what there is\n")


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
