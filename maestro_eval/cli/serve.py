"""``maestro-eval serve``: the embedded experts for whoever wants to call them, or a simulated server for a dry run."""

from __future__ import annotations

import argparse

from maestro_eval.cli.main import DONE
from maestro_eval.types import UserError

_PORTS = {"embedded": 8377, "simulated": 8378}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # Imported here: only who asks for this command waits for the HTTP server's modules.
    from maestro_eval.experts.simulated.command import add_flags

    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("what", nargs="?", choices=("embedded",), help="the CPU experts")
    what.add_argument(
        "--simulate", action="store_true", help="a simulated model server, to dry-run a registry or to test a client"
    )
    parser.add_argument(
        "--port",
        type=int,
        help=f"on 127.0.0.1; 0 takes a free one (default: {_PORTS['embedded']}, simulated {_PORTS['simulated']})",
    )
    add_flags(parser.add_argument_group("how the simulated server behaves"))


def run(arguments: argparse.Namespace) -> int:
    name = "simulated" if arguments.simulate else "embedded"
    port = _PORTS[name] if arguments.port is None else arguments.port
    try:
        _simulated(arguments, port) if arguments.simulate else _embedded(arguments, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--port {port}: cannot listen there ({reason}); choose another") from error
    return DONE


def _simulated(arguments: argparse.Namespace, port: int) -> None:
    from maestro_eval.experts.simulated.command import serve

    serve(arguments, port)


def _embedded(arguments: argparse.Namespace, port: int) -> None:
    from maestro_eval.experts.simulated.command import FLAGS

    given = next((flag for flag in FLAGS if getattr(arguments, flag) is not None), None)
    if given:
        raise UserError(f"--{given.replace('_', '-')} goes with --simulate only; leave it out")
    from maestro_eval.embedded.server import main as serve
    from maestro_eval.serving import check_installed

    check_installed("embedded")
    serve(["--port", str(port)])
