"""A request and its name."""

from __future__ import annotations

import msgspec
import pytest

from maestro_eval.records import RegistryVariant
from maestro_eval.runtime import RunConfig


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
    request = RunConfig(policy="router", registry="embedded", tasks=("chartqa",), variant=variant)
    assert request.name("router", "embedded") == name


@pytest.mark.parametrize(
    ("policy", "model", "name"),
    [
        ("openai:http://127.0.0.1:8000/v1#Maestro-4B", "Maestro-4B", "Maestro-4B · base"),
        ("openai:http://127.0.0.1:8000/v1|http://127.0.0.1:8001/v1", "Jinyang23/Maestro-4B", "Maestro-4B · base"),
        ("vllm:/models/Maestro-4B/", "/models/Maestro-4B/", "Maestro-4B · base"),
        ("direct:Chart-R1", "Chart-R1", "direct:Chart-R1 · base"),
        ("fixed:Chart-R1@@Chart_Problem_Solver", "m", "fixed:Chart-R1@@Chart_Problem_Solver · base"),
    ],
)
def test_a_model_is_called_by_its_own_name_and_not_by_its_address(policy: str, model: str, name: str) -> None:
    request = RunConfig(policy=policy, registry="/somewhere/base.yaml", tasks=("chartqa",))
    assert request.name(model, "base") == name
    assert msgspec.structs.replace(request, system="mine").name(model, "base") == "mine"
