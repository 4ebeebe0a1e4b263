"""The simulated server as a process of a test or a benchmark, which it can be made to end with."""

from __future__ import annotations

import argparse

from maestro_eval.testing.command import add_arguments, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m maestro_eval.testing", description=__doc__)
    add_arguments(parser)
    parser.set_defaults(port=0)
    run(parser.parse_args())
