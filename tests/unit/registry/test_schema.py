"""The JSON Schema for editors."""

import pytest
import yaml

from maestro_eval.files import bundled
from maestro_eval.registry.schema import registry_schema

jsonschema = pytest.importorskip("jsonschema")


@pytest.mark.parametrize("path", sorted(bundled("registries").glob("*.yaml")), ids=lambda path: path.stem)
def test_bundled_registries_fit_the_schema_that_editors_get(path):
    jsonschema.Draft202012Validator(registry_schema()).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "skill",
    [
        {"description": "d", "evidence": [{"servce": "ocr"}]},
        {"description": "d", "evidence": [7]},
        {"description": "d", "pipline": "ask"},
        {"description": "d", "options": {"rounds": 1}},
        {"description": "d", "pipeline": "my.module:run", "options": {"rounds": [1]}},
        {"description": "d", "pipeline": "direct", "prompt": "a.j2"},
        {"pipeline": "ask"},
    ],
)
def test_the_schema_refuses_what_loading_refuses(skill):
    validator = jsonschema.Draft202012Validator(registry_schema())
    assert not validator.is_valid({"name": "x", "skills": {"S": skill}})
    assert validator.is_valid({"name": "x", "skills": {"S": {"description": "d", "evidence": ["ocr"]}}})
    own = {"description": "d", "pipeline": "my.module:run", "options": {"rounds": 1}}
    assert validator.is_valid({"name": "x", "skills": {"S": own}})
