"""The simulated server as a process of a test or a benchmark, which it can be made to end with."""

from __future__ import annotations

import argparse

from maestro_eval.testing.command import add_flags, serve


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m maestro_eval.testing", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when standard input ends")
    add_flags(parser)
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    serve(options, options.port, exit_with_parent=options.exit_with_parent)
