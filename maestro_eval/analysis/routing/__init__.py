"""Routing analysis: a policy's calls, their accuracy, latency and cost, and the attribution of wrong answers."""

from maestro_eval.analysis.routing.behaviour import Behaviour, CallAccuracy
from maestro_eval.analysis.routing.build import SIDES, Attribution, Routing, attribute, is_right, models_called, routing
from maestro_eval.analysis.routing.costs import PARTS, Cost, Latency, load_prices, price_template

__all__ = [
    "PARTS",
    "SIDES",
    "Attribution",
    "Behaviour",
    "CallAccuracy",
    "Cost",
    "Latency",
    "Routing",
    "attribute",
    "is_right",
    "load_prices",
    "models_called",
    "price_template",
    "routing",
]  # fmt: skip
