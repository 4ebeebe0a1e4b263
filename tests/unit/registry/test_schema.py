"""The JSON Schema for editors."""

import pytest
import yaml

from maestro_eval.files import bundled
from maestro_eval.registry.source import registry_schema
from maestro_eval.skills.code_pipelines import _DEFAULT_REPAIRS

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


def test_the_schema_says_how_often_a_program_is_repaired_by_default() -> None:
    schema = registry_schema()["$defs"]["CodeOptions"]["properties"]["repairs"]
    assert schema["default"] == _DEFAULT_REPAIRS
