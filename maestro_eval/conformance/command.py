"""``maestro-eval conformance``: compare a recording of another system with ours."""

from __future__ import annotations

import argparse
from pathlib import Path

from maestro_eval.cli import DISAGREES, DONE, add_json, print_json
from maestro_eval.conformance.kinds import KINDS, Conformance, cases_of
from maestro_eval.text import one_line

_LONGEST = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=tuple(KINDS), help="; ".join(f"{kind}: {what}" for kind, what in KINDS.items()))
    parser.add_argument("file", type=Path, help="the recording: JSONL, or JSONL.gz (docs/conformance.md)")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    tally = Conformance.of(cases_of(arguments.kind, arguments.file))
    if arguments.json:
        print_json({"cases": tally.cases, "agreeing": tally.agreeing, "disagreements": tally.disagreements})
    else:
        print(f"agree {tally.agreeing} of {tally.cases}")
        for case in tally.disagreements:
            print(f"{case.id}: expected {_shown(case.expected)}, got {_shown(case.got)}")
    return DONE if tally.complete else DISAGREES


def _shown(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
