"""Bundled data is found from a checkout."""

import pytest

from maestro_eval.files import bundled


@pytest.mark.parametrize("kind", ["tasks", "registries", "presets", "references"])
def test_each_kind_is_there_and_holds_yaml(kind):
    assert list(bundled(kind).rglob("*.yaml"))
