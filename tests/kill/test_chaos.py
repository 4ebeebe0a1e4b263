"""A few kills and faults at random, as ``scripts/chaos`` makes hundreds of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from kill.chaos import Chaos


@pytest.mark.slow
@pytest.mark.parametrize("ray_share", [0.0, 1.0])
def test_random_kills_and_faults_lose_nothing(tmp_path: Path, ray_share: float) -> None:
    if ray_share:
        pytest.importorskip("ray")
    tally = Chaos(tmp_path, seed=1, kills=3, faults=4, ray_share=ray_share).run()
    assert tally.clean, tally.line()
    assert sum(tally.kills.values()) >= 3
    assert tally.faults >= 4
