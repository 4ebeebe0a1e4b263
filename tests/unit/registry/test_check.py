"""What is wrong with a registry although each of its fields is well-formed."""

import pytest
from small_worlds import registry_text

from maestro_eval.records import UserError
from maestro_eval.registry import PIPELINES, check_pipelines, check_registry, load_registry
from maestro_eval.registry.skill_schema import SKILLS as FIELDS


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "small.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def fault(path, check=load_registry):
    with pytest.raises(UserError) as caught:
        check(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Skills. The one under test begins at line 27, with its description in the next.

SKILLS = {
    "a solver without keywords": (
        "pipeline: dispatch\ndefault_solver: a\nsolvers:\n  a: {prompt: t.j2}\n  b: {prompt: t.j2}",
        "33: skills.Mine.solvers.b: nothing dispatches to it; give it keywords, or name it as the default_solver",
    ),
    "solvers of a pipeline that has none": (
        "pipeline: ask\ndefault_solver: a\nsolvers: {a: {prompt: t.j2}}",
        "31: skills.Mine.solvers: nothing dispatches to them: 'ask' has no solvers; leave it out, or take one of "
        "classify, dispatch",
    ),
    "no solvers": ("pipeline: dispatch", "27: skills.Mine.solvers: pipeline 'dispatch' needs solvers"),
    "no default": (
        "pipeline: dispatch\nsolvers: {a: {prompt: t.j2, keywords: [x]}}",
        "27: skills.Mine.default_solver: this field is missing; known: a",
    ),
    "an unknown default": (
        "pipeline: dispatch\ndefault_solver: barr\nsolvers: {bar: {prompt: t.j2}}",
        "30: skills.Mine.default_solver: no solver 'barr'; did you mean 'bar'?",
    ),
    "a default of nothing": ("default_solver: bar", "29: skills.Mine.default_solver: pipeline 'ask' does not read it"),
    "a keyword of two": (
        "pipeline: dispatch\ndefault_solver: a\nsolvers:\n"
        "  a: {prompt: t.j2, keywords: [Bar]}\n  b: {prompt: t.j2, keywords: ['bar ']}",
        "33: skills.Mine.solvers.b: 'bar ' is a keyword of 'a' too; leave it to one of them",
    ),
    "no steps": ("pipeline: steps", "27: skills.Mine.steps: pipeline 'steps' needs steps"),
    "steps that nobody takes": (
        "pipeline: ask\nsteps: [{name: a, prompt: t.j2}]",
        "30: skills.Mine.steps: pipeline 'ask' does not read it; leave it out, or take one of steps, code",
    ),
    "two steps of a name": (
        "pipeline: steps\nsteps:\n  - {name: a, prompt: t.j2}\n  - {name: a, prompt: t.j2}",
        "32: skills.Mine.steps.1.name: a step 'a' comes before; rename one of them",
    ),
    "a prompt that nobody reads": (
        "pipeline: direct\nprompt: t.j2",
        "30: skills.Mine.prompt: pipeline 'direct' does not read it; leave it out, or take one of ask, classify",
    ),
    "evidence that nobody reads": (
        "pipeline: direct\nevidence: [spotter]",
        "30: skills.Mine.evidence: pipeline 'direct' does not read it; leave it out, or take one of ask,",
    ),
    "evidence twice": (
        "evidence: [spotter, {service: spotter, limit: 1}]",
        "29: skills.Mine.evidence: service 'spotter' is listed twice",
    ),
    "a solver's unknown service": (
        "pipeline: dispatch\ndefault_solver: a\nsolvers:\n  a: {prompt: t.j2, evidence: [spoter]}",
        "32: skills.Mine.solvers.a.evidence: no service 'spoter'; did you mean 'spotter'?",
    ),
    "no number of images": (
        "evidence: [{service: spotter, limit: 0}]",
        "29: skills.Mine.evidence.0.limit: Input should be greater than 0",
    ),
    "a misspelt field of evidence": (
        "evidence:\n  - {servce: spotter}",
        "30: skills.Mine.evidence.0.servce: unknown field; did you mean 'service'?",
    ),
    "a misspelt field of a solver": (
        "pipeline: dispatch\nsolvers:\n  a: {promt: t.j2}",
        "31: skills.Mine.solvers.a.promt: unknown field; did you mean 'prompt'?",
    ),
    "an option that is no scalar": (
        "pipeline: my.module:run\noptions: {rounds: [1]}",
        "30: skills.Mine.options.rounds: expected one text, number or true/false",
    ),
    "a misspelt option": (
        "pipeline: code\nsteps: [{name: a, prompt: t.j2}]\noptions: {repiars: 3}",
        "31: skills.Mine.options.repiars: unknown field; did you mean 'repairs'?",
    ),
    "an option of another pipeline": (
        "options: {match: score}",
        "29: skills.Mine.options: pipeline 'ask' does not read it; leave it out, or take one of steps, classify,",
    ),
    **{
        f"an option's value that means nothing: {value}": (
            f"pipeline: code\nsteps: [{{name: a, prompt: t.j2}}]\noptions: {{repairs: {value}}}",
            f"31: skills.Mine.options.repairs: Input should be {wanted}",
        )
        for value, wanted in (
            ("-1", "greater than or equal to 0"),
            ("three", "a valid integer"),
            ("1.5", "a valid integer"),
            ("true", "a valid integer"),
        )
    },
    "a step's missing template": (
        "pipeline: steps\nsteps:\n  - {name: a, prompt: gone.j2}",
        "31: skills.Mine.steps.0.prompt: no template file 'gone.j2'",
    ),
    "a step's variable that nobody fills": (
        "pipeline: steps\nsteps:\n  - {name: a, prompt: t.j2}\n  - {name: b, prompt: bad.j2}",
        "32: skills.Mine.steps.1.prompt: bad.j2: unknown variable 'reqest'; known: request,",
    ),
    "a reply of a step that comes later": (
        "pipeline: steps\nsteps:\n  - {name: a, prompt: after_b.j2}\n  - {name: b, prompt: t.j2}",
        "31: skills.Mine.steps.0.prompt: after_b.j2: cannot be rendered: UndefinedError: 'dict object' has no "
        "attribute 'b'",
    ),
    "a solver's variable that nobody fills": (
        "pipeline: dispatch\ndefault_solver: a\nsolvers:\n  a: {prompt: bad.j2}",
        "32: skills.Mine.solvers.a.prompt: bad.j2: unknown variable 'reqest'",
    ),
}


@pytest.mark.parametrize(("fields", "says"), SKILLS.values(), ids=SKILLS)
def test_a_skill_that_cannot_work_is_told_with_its_place_and_mend(write, fields, says):
    write("{{ request }}", "t.j2")
    write("{% if request == 'x' %}{{ reqest }}{% endif %}", "bad.j2")
    write("{{ previous.b }}", "after_b.j2")
    indented = "\n".join(f"    {line}" for line in ["description: d", *fields.split("\n")])
    text = registry_text().rstrip("\n")
    path = write(f"{text}\n  Mine:\n{indented}\n")
    assert path.read_text().splitlines()[26] == "  Mine:"
    assert fault(path).startswith(f"{path}:{says}")


def test_a_later_step_and_a_solver_may_use_earlier_replies(write):
    write("{{ request }}", "t.j2")
    write("{{ previous.a }}", "after_a.j2")
    write("{{ previous.classify }}", "after_classify.j2")
    skills = """
  Steps: {description: d, pipeline: steps, steps: [{name: a, prompt: t.j2}, {name: b, prompt: after_a.j2}]}
  Kinds:
    description: d
    pipeline: classify
    prompt: t.j2
    default_solver: x
    solvers: {x: {prompt: after_classify.j2}}
  Own: {description: d, pipeline: 'my.module:run', prompt: after_a.j2}
"""
    assert list(load_registry(write(registry_text(more=skills))).skills)[2:] == ["Steps", "Kinds", "Own"]


def test_what_a_service_is_asked_may_use_what_is_known_then(write):
    good = registry_text().replace("request: Name the objects.", "request: 'Where is it? {{ question }}'")
    assert load_registry(write(good)).services["spotter"].request == "Where is it? {{ question }}"
    assert load_registry(write(good.replace("{{ question }}", "{{ request }} {{ hint }} {{ evidence }}")))
    path = write(good.replace("{{ question }}", "{{ previous }}"))
    assert "small.yaml:17: services.spotter.request: cannot be rendered: UndefinedError: 'previous'" in fault(path)


# Pipelines


def test_every_pipeline_that_the_schema_knows_is_there():
    assert list(FIELDS) == list(PIPELINES.bundled)
    for name in FIELDS:
        assert callable(PIPELINES.find(name).run)


def test_an_unknown_pipeline_is_told_with_the_place_of_its_skill(write):
    parent = write(registry_text().replace("    prompt: prompts/plain.j2", "    pipeline: aks"), "parent.yaml")
    child = write("name: child\nextends: parent.yaml\n", "child.yaml")
    message = fault(child, lambda path: check_pipelines(load_registry(path)))
    place = f"{parent}:25: skills.Count_Things.pipeline"
    assert message == f"{place}: pipeline 'aks': unknown; did you mean 'ask'?; or name package.module:object"


# Addresses

TWO = """
name: two
endpoints:
  a: {url: http://127.0.0.1:1/v1}
  b: {url: http://127.0.0.1:2/v1}
experts:
  one: {model: m1, endpoint: a, description: d}
services:
  eye: {model: m2, endpoint: b, request: Look.}
skills:
  S: {description: d}
"""


def test_one_address_for_two_models_is_told(write):
    path = write(TWO.replace(":2/v1", ":1/v1"))
    assert load_registry(path).name == "two"
    assert fault(path, check_registry) == (
        f"{path}:5: endpoints.b.url: http://127.0.0.1:1/v1 is that of endpoint 'a' too, which serves 'm1', not 'm2'; "
        "fix one of the two, or name one endpoint in both entries"
    )


def test_one_model_at_two_addresses_is_told(write):
    path = write(TWO.replace("m2", "m1"))
    assert fault(path, check_registry).startswith(
        f"{path}:9: services.eye.endpoint: model 'm1' is at http://127.0.0.1:2/v1 here and at http://127.0.0.1:1/v1"
    )


def test_one_endpoint_asked_for_two_models_is_told_unless_it_is_a_gateway(write):
    path = write(TWO.replace("endpoint: b", "endpoint: a"))
    assert fault(path, check_registry) == (
        f"{path}:9: services.eye.endpoint: endpoint 'a' is asked for 'm2' here and for 'm1' elsewhere; "
        "fix one of the two, or write gateway: true into the endpoint"
    )


@pytest.mark.parametrize(
    "text",
    [
        TWO,
        TWO.replace("endpoint: b", "endpoint: a")
        .replace("1/v1}", "1/v1, gateway: true}")
        .replace("url: http://127.0.0.1:1/v1\n", "url: http://127.0.0.1:1/v1\n    gateway: true\n"),
        TWO.replace("m2", "m1").replace("endpoint: b", "endpoint: a"),
        TWO.replace("url: http://127.0.0.1:1/v1", "start: embedded").replace(
            "url: http://127.0.0.1:2/v1", "start: embedded"
        ),
    ],
    ids=["apart", "a gateway", "a model in two roles", "started by the run"],
)
def test_gateways_and_shared_models_are_left_in_peace(write, text):
    assert check_registry(write(text)).name == "two"
