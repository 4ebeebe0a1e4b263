"""Whom a policy called, to what effect and at what cost; and who lost the answers that were not right."""

from maestro_eval.analysis.routing.attribution import Attribution, attribute, is_right
from maestro_eval.analysis.routing.build import models_called, routing
from maestro_eval.analysis.routing.costs import PriceTable, load_prices, price_template
from maestro_eval.analysis.routing.records import (
    PARTS,
    SIDES,
    Blame,
    CallAccuracy,
    Conduct,
    Cost,
    Latency,
    Named,
    NeverCalled,
    PairCalls,
    Part,
    Routing,
    Side,
    TokenUse,
)

__all__ = [
    "PARTS",
    "SIDES",
    "Attribution",
    "Blame",
    "CallAccuracy",
    "Conduct",
    "Cost",
    "Latency",
    "Named",
    "NeverCalled",
    "PairCalls",
    "Part",
    "PriceTable",
    "Routing",
    "Side",
    "TokenUse",
    "attribute",
    "is_right",
    "load_prices",
    "models_called",
    "price_template",
    "routing",
]
