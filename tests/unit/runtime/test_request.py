"""A request and its name."""

from __future__ import annotations

import pytest

from maestro_eval.runtime import RunRequest
from maestro_eval.types import RegistryVariant


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        (RegistryVariant(), "router · embedded"),
        (RegistryVariant(permute=3), "router · embedded permuted 3"),
        (RegistryVariant(rename=True), "router · embedded renamed"),
        (RegistryVariant(without=("ocr", "geometer")), "router · embedded without ocr, without geometer"),
    ],
)
def test_a_system_without_a_name_is_called_by_its_policy_and_the_variant_of_its_registry(
    variant: RegistryVariant, name: str
) -> None:
    request = RunRequest(policy="router", registry="embedded", tasks=("chartqa",), variant=variant)
    assert request.name == name
