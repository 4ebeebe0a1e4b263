"""Run the simulated server for a test or a benchmark; with --exit-with-parent it ends when its input closes."""

from __future__ import annotations

import argparse

from maestro_eval.testing.command import add_arguments, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m maestro_eval.testing", description=__doc__)
    add_arguments(parser)
    parser.set_defaults(port=0)
    run(parser.parse_args())
