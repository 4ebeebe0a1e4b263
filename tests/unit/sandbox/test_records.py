import msgspec
import pytest

from maestro_eval.sandbox import Limits, SandboxResult


@pytest.mark.parametrize("field", Limits.__struct_fields__)
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_limit_that_bounds_nothing_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        msgspec.structs.replace(Limits(), **{field: value})


def test_a_result_survives_a_journal() -> None:
    result = SandboxResult("timeout", None, "a\n", "", 1.5)
    assert msgspec.json.decode(msgspec.json.encode(result), type=SandboxResult) == result
