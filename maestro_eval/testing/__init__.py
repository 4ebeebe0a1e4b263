"""A simulated chat-completions server over real HTTP, for tests and load: latency, faults and a record of requests.

Start it in asynchronous code by ``async with SimulatedServer(reply="Answer: 4") as server``, in synchronous code by
``with simulated_in_thread(reply="Answer: 4") as server``, in another process by
``python -m maestro_eval.testing``, on the command line by ``maestro-eval serve-simulated``.
``server.url`` ends in ``/v1``.
"""

from maestro_eval.testing.behaviour import (
    Fault,
    FaultPlan,
    Latency,
    RefusedError,
    Rule,
    always,
    at_random,
    on_requests,
)
from maestro_eval.testing.faults import parse_faults
from maestro_eval.testing.server import ServedRequest, SimulatedServer
from maestro_eval.testing.thread import simulated_in_thread

__all__ = [
    "Fault",
    "FaultPlan",
    "Latency",
    "RefusedError",
    "Rule",
    "ServedRequest",
    "SimulatedServer",
    "always",
    "at_random",
    "on_requests",
    "parse_faults",
    "simulated_in_thread",
]
