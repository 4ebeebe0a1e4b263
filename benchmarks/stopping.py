"""How often the test that may be looked at after every sample is wrong, and what it saves.

    python benchmarks/stopping.py [--games 10000] [--json FILE]

Two systems are compared on a benchmark of so many units, in games that end when they are decided at 5 %. Where there
is no difference, the share decided is the error, at most 5 %; elsewhere it is the power, and the units used are the
saving. Seeded.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maestro_eval.analysis.sequential import stopping_times

_ALPHA = 0.05
# (units, only the new system right, only the baseline right)
_CASES = [
    (400, 0.01, 0.01),
    (400, 0.05, 0.05),
    (400, 0.20, 0.20),
    (400, 0.50, 0.50),
    (1000, 0.05, 0.05),
    (400, 0.10, 0.05),
    (400, 0.15, 0.05),
    (400, 0.30, 0.10),
    (1000, 0.08, 0.05),
    (1000, 0.10, 0.05),
    (2500, 0.08, 0.05),
]
_BLOCK = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rng = np.random.default_rng(20)
    rows = []
    print(f"{arguments.games} games a row; decided at {_ALPHA:.0%}")
    print("units  only new  only base  decided  ± (2 s.e.)  units used, mean  of those decided, median")
    for units, gains, losses in _CASES:
        blocks = [
            stopping_times(_games(rng, min(_BLOCK, arguments.games - start), units, gains, losses), _ALPHA)
            for start in range(0, arguments.games, _BLOCK)
        ]
        times = np.concatenate(blocks)
        decided = float((times > 0).mean())
        used = float(np.where(times > 0, times, units).mean())
        median = float(np.median(times[times > 0])) if decided else math.nan
        error = 2 * math.sqrt(decided * (1 - decided) / times.size)
        print(f"{units:5}  {gains:8.2f}  {losses:9.2f}  {decided:7.2%}  {error:10.2%}  {used:16.0f}  {median:24.0f}")
        rows.append({"units": units, "only_new": gains, "only_base": losses, "decided": decided, "mean_units": used})
    if arguments.json:
        arguments.json.write_text(json.dumps({"games": arguments.games, "alpha": _ALPHA, "rows": rows}, indent=2))


def _games(rng: np.random.Generator, games: int, units: int, gains: float, losses: float) -> NDArray[np.float64]:
    drawn = rng.random((games, units))
    return np.where(drawn < gains, 1.0, np.where(drawn < gains + losses, -1.0, 0.0))


if __name__ == "__main__":
    main()
