"""What each worker of a cluster makes sure of before its first rollout, in the code that Ray sends there."""

from __future__ import annotations

import time

import pytest

from maestro_eval.runtime.ray_actor import Host, code_fingerprint
from maestro_eval.runtime.ray_cluster import package_folder


async def test_a_node_with_another_version_of_the_code_is_unfit_and_says_where_it_is() -> None:
    kind, why = await Host().start("w", b"", "another version", time.time())
    assert kind == "node"
    assert package_folder() in why
    assert "is another version than the driver's; install the same" in why


@pytest.mark.parametrize(("behind_s", "said"), [(90, "+90 s"), (-3600, "-3600 s")])
async def test_a_node_whose_clock_is_off_is_unfit_and_says_by_how_much(behind_s: float, said: str) -> None:
    kind, why = await Host().start("w", b"", code_fingerprint(package_folder()), time.time() - behind_s)
    assert kind == "node"
    assert why == f"its clock is {said} off the driver's; synchronise it"
