"""From registry files to a Registry, and what is said of a wrong one."""

import msgspec
import pytest
from small_worlds import registry_text, small_registry

from maestro_eval.files import bundled
from maestro_eval.records import UserError
from maestro_eval.registry import EvidenceUse, ServeBlock, entry_hashes, load_registry


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "small.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("path", sorted(bundled("registries").glob("*.yaml")), ids=lambda path: path.stem)
def test_bundled_registries_load_by_name_and_are_named_like_their_file(path):
    registry = load_registry(path.stem)
    assert registry.name == path.stem
    assert registry.hash == load_registry(path).hash


def test_the_augmented_registry_is_the_base_one_and_more():
    base, augmented = load_registry("embedded"), load_registry("embedded_augmented")
    assert list(augmented.experts)[: len(base.experts)] == list(base.experts)
    assert set(augmented.experts) - set(base.experts) == {"ocr-reader", "diagram-inspector"}
    assert set(augmented.skills) - set(base.skills) == {"OCR_Problem_Solver", "Diagram_Reasoning_Skill"}
    assert augmented.hash != base.hash


def test_a_registry_is_read_whole(tmp_path):
    registry = small_registry(tmp_path, "http://10.0.0.1:8000/v1", evidence="spotter", tries=3)
    assert list(registry.experts) == ["reader", "counter"]
    assert registry.experts["reader"].aliases == ("ocr",)
    assert registry.endpoints["here"].url == "http://10.0.0.1:8000/v1"
    assert registry.endpoints["here"].max_tries == 3
    assert registry.skills["Read_Text"].evidence == (EvidenceUse(service="spotter"),)
    assert "{{ request }}" in registry.skills["Read_Text"].prompt


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("http://h:8000", "http://h:8000/v1"),
        ("http://h:8000/", "http://h:8000/v1"),
        ("http://h:8000/v1/", "http://h:8000/v1"),
        ("https://h/api/paas/v4", "https://h/api/paas/v4"),
        ("https://h/v1beta/openai/", "https://h/v1beta/openai"),
        ("https://h/v1/chat/completions", "https://h/v1"),
    ],
)
def test_an_address_is_read_up_to_what_precedes_the_api(tmp_path, written, read):
    assert small_registry(tmp_path, written).endpoints["here"].url == read


# extends


def test_extending_replaces_in_place_appends_and_removes(write):
    write(registry_text())
    child = write(
        """
name: child
extends: small.yaml
remove: {skills: [Count_Things]}
experts:
  added: {model: a, endpoint: here, description: New.}
  reader: {model: better, endpoint: here, description: Reads better.}
skills:
  Later: {description: New too.}
""",
        "child.yaml",
    )
    registry = load_registry(child)
    assert registry.name == "child"
    assert list(registry.experts) == ["reader", "counter", "added"]
    assert (registry.experts["reader"].model, registry.experts["reader"].aliases) == ("better", ())
    assert list(registry.skills) == ["Read_Text", "Later"]


def test_a_registry_may_extend_a_bundled_one_by_name_and_another_folders_by_path(write):
    write("name: middle\nextends: embedded\n", "deep/middle.yaml")
    leaf = write("name: leaf\nextends: deep/middle.yaml\n", "leaf.yaml")
    assert load_registry(leaf).experts == load_registry("embedded").experts


def test_each_prompt_is_taken_from_the_nearest_file_that_sets_it(write):
    write("Mine: {{ question }}", "mine.j2")
    write("Theirs: {{ question }}", "theirs.j2")
    write("You coordinate.", "system.j2")
    write(registry_text(more="prompt: {system: system.j2, user: theirs.j2}"))
    leaf = load_registry(write("name: leaf\nextends: small.yaml\n", "leaf.yaml"))
    assert (leaf.prompts.system, leaf.prompts.user) == ("You coordinate.", "Theirs: {{ question }}")
    leaf = load_registry(write("name: leaf\nextends: small.yaml\nprompt: {user: mine.j2}\n", "leaf.yaml"))
    assert (leaf.prompts.system, leaf.prompts.user) == ("You coordinate.", "Mine: {{ question }}")


def test_an_inherited_prompt_that_no_longer_fits_is_told_where_it_stands(write):
    write("{{ experts[2].name }}", "system.j2")
    more = "  third: {model: m, endpoint: here, description: d}\nprompt: {system: system.j2}"
    text = registry_text().replace("services:", f"{more.splitlines()[0]}\nservices:") + more.splitlines()[1]
    parent = write(text)
    assert load_registry(parent).prompts.system == "{{ experts[2].name }}"
    leaf = write("name: leaf\nextends: small.yaml\nremove: {experts: [third]}\n", "leaf.yaml")
    with pytest.raises(UserError, match=rf"^{parent}:\d+: prompt\.system: system\.j2: cannot be rendered"):
        load_registry(leaf)


# All that a skill may hold

RICH = registry_text(
    more="""
  Read_Chart:
    description: Charts.
    pipeline: classify
    evidence: [spotter, {service: captioner, images: first, limit: 2}]
    prompt: prompts/plain.j2
    default_solver: bar
    options: {match: contained}
    solvers:
      bar: {prompt: bar.j2, keywords: [bar, column]}
      pie: {prompt: bar.j2, keywords: [pie], evidence: [], description: Rings.}
  Solve:
    description: In steps.
    pipeline: steps
    steps:
      - {name: look, prompt: look.j2}
      - {name: solve, prompt: solve.j2}
"""
)


@pytest.fixture
def rich(write):
    write("After {{ previous.classify }}: {{ request }}", "bar.j2")
    write("Look: {{ question }}", "look.j2")
    write("Seen: {{ previous.look }} {% for p in evidence %}{{ p.text }}{% endfor %}", "solve.j2")
    return lambda old="", new="": write(RICH.replace(old, new, 1) if old else RICH)


def test_solvers_steps_evidence_and_options_are_read_with_their_templates(rich):
    chart, solve = (load_registry(rich()).skills[name] for name in ("Read_Chart", "Solve"))
    assert chart.evidence == (EvidenceUse(service="spotter"), EvidenceUse(service="captioner", images="first", limit=2))
    assert chart.solvers["bar"].keywords == ("bar", "column")
    assert chart.solvers["bar"].prompt == "After {{ previous.classify }}: {{ request }}"
    assert (chart.solvers["bar"].evidence, chart.solvers["pie"].evidence) == (None, ())
    assert chart.options == {"match": "contained"}
    assert [(step.name, step.prompt[:4]) for step in solve.steps] == [("look", "Look"), ("solve", "Seen")]
    assert solve.prompt == ""


def test_a_model_may_say_how_it_is_served(write):
    serve = "    description: Counts coloured objects.\n    serve: {model: org/counter, args: {dtype: half}, gpus: 2}"
    text = registry_text().replace("    description: Counts coloured objects.", serve)
    expert = load_registry(write(text)).experts["counter"]
    assert expert.serve == ServeBlock(model="org/counter", args={"dtype": "half"}, gpus=2)


def test_a_chain_that_comes_back_is_refused(write):
    write("name: a\nextends: b.yaml\n", "a.yaml")
    path = write("name: b\nextends: a.yaml\n", "b.yaml")
    with pytest.raises(UserError, match=r"a\.yaml:2: extends: the chain comes back to b\.yaml"):
        load_registry(path)


def test_an_unknown_registry_is_refused_with_the_known_ones(write):
    with pytest.raises(UserError, match=r"registry 'embeded': no such file.*; did you mean 'embedded'\?"):
        load_registry("embeded")
    with pytest.raises(UserError, match=r"no bundled registry; bundled: .*embedded, embedded_augmented"):
        load_registry("nobody's")
    with pytest.raises(UserError, match=r"small\.yaml:2: extends: registry 'gone\.yaml': no such file"):
        load_registry(write("name: x\nextends: gone.yaml\n"))


# What a user can get wrong

CHANGES = {
    "misspelt field of an expert": (
        "    model: reader-model",
        "    modle: reader-model",
        8,
        "experts.reader.modle: unknown field; did you mean 'model'?",
    ),
    "misspelt field at the top": ("\nskills:", "\nskils:", 19, "skils: unknown field; did you mean 'skills'?"),
    "misspelt field of an endpoint": (
        "timeout_s: 20",
        "timeout: 20",
        5,
        "endpoints.here.timeout: unknown field; did you mean 'timeout_s'?",
    ),
    "an unknown field like no other": (
        "    model: counter-model",
        "    zzz: 1\n    model: counter-model",
        13,
        "experts.counter.zzz: unknown field; known: model, endpoint,",
    ),
    "missing field": (
        "    description: Counts coloured objects.\n",
        "",
        12,
        "experts.counter.description: this field is missing; add `description: …`",
    ),
    "empty field": ("description: Counts coloured objects.", "description: ' '", 15, "experts.counter.description: "),
    "wrong type": ("max_tries: 1", "max_tries: often", 5, "endpoints.here.max_tries: Input should be a valid integer"),
    "not a list": ("aliases: [ocr]", "aliases: ocr", 11, "experts.reader.aliases: Input should be a valid tuple"),
    "endless time": (
        "timeout_s: 20",
        "timeout_s: .inf",
        5,
        "endpoints.here.timeout_s: Input should be a finite number",
    ),
    "unknown endpoint": (
        "    endpoint: here\n    description: Counts",
        "    endpoint: her\n    description: Counts",
        14,
        "experts.counter.endpoint: no endpoint 'her'; did you mean 'here'?",
    ),
    "unknown service": (
        "    prompt: prompts/plain.j2\n    evidence: []",
        "    evidence: [spoter]",
        25,
        "skills.Count_Things.evidence: no service 'spoter'; did you mean 'spotter'?",
    ),
    "names that fold alike": (
        "  counter:",
        "  Rea-der:",
        12,
        "experts.Rea-der.aliases: 'Rea-der' reads like 'reader'; rename one",
    ),
    "an alias like another's name": (
        "aliases: [ocr]",
        "aliases: [Counter]",
        12,
        "experts.counter.aliases: 'counter' reads like 'reader'; rename one",
    ),
    "a name with @@": ("  counter:", "  'coun@@ter':", 12, "experts.coun@@ter: a name has letters, digits"),
    "a name with a colon": ("  counter:", "  'coun:ter':", 12, "experts.coun:ter: a name has letters, digits"),
    "a name with a tag": ("  Count_Things:", "  '<answer>':", 23, "skills.<answer>: a name has letters, digits"),
    "an address of another kind": ("http://127", "ftp://127", 5, "endpoints.here.url: expected the base address"),
    "an address with a password": (
        "http://127",
        "http://me:secret@127",
        5,
        "endpoints.here.url: an address without user, password",
    ),
    "a key in place of its variable": (
        "max_tries: 1",
        "api_key_env: sk-verysecret",
        5,
        "endpoints.here.api_key_env: expected the name of the environment variable",
    ),
    "both address and start": ("max_tries: 1", "start: embedded", 5, "endpoints.here: give either url"),
    "neither address nor start": ("url: http://127.0.0.1:9/v1, ", "", 5, "endpoints.here: give either url"),
    "no template file": (
        "prompts/plain.j2",
        "prompts/plan.j2",
        25,
        "skills.Count_Things.prompt: no template file 'prompts/plan.j2'",
    ),
    "an unknown schema": ("schema: 1", "schema: 2", 2, "schema: Input should be 1"),
    "nothing to remove": (
        "\nendpoints:",
        "\nremove: {experts: [gone]}\nendpoints:",
        4,
        "remove.experts: 'gone' is not in what this registry extends",
    ),
}


@pytest.mark.parametrize(("old", "new", "line", "says"), CHANGES.values(), ids=CHANGES)
def test_a_mistake_is_one_line_with_place_field_and_mend(write, old, new, line, says):
    text = registry_text()
    assert text.count(old) == 1
    path = write(text.replace(old, new))
    with pytest.raises(UserError) as caught:
        load_registry(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: {says}")
    assert "\n" not in message
    assert "secret" not in message


def test_an_entry_named_like_a_field_does_not_confuse_the_suggestion(write):
    path = write("name: x\nexperts:\n  sampling: {modl: m, endpoint: e, description: d}\n")
    with pytest.raises(UserError, match=r"experts\.sampling\.modl: unknown field; did you mean 'model'"):
        load_registry(path)


def test_an_orchestrator_needs_experts_and_skills(write):
    with pytest.raises(UserError, match=r"small\.yaml:1: experts: none listed"):
        load_registry(write("name: x\n"))


TEMPLATES = {
    "skill: unfilled": ("skill", "{{ request }} {{ reqest }}", "'reqest' is undefined"),
    "skill: unfilled in a branch not taken": (
        "skill",
        "{% if request == 'x' %}{{ reqest }}{% endif %}",
        "unknown variable 'reqest'; known: request, question, evidence, previous",
    ),
    "skill: evidence's field": ("skill", "{% for e in evidence %}{{ e.txt }}{% endfor %}", "no attribute 'txt'"),
    "skill: syntax": ("skill", "line\n{% if %}", "line 2: not a valid template"),
    "skill: arithmetic": ("skill", "{{ 1 / 0 }}", "cannot be rendered: ZeroDivisionError"),
    "skill: out of the sandbox": ("skill", "{{ request.__class__.__mro__ }}", "cannot be rendered: SecurityError"),
    "user: no question": ("user", "What do you see?", "must contain {{ question }} exactly once"),
    "user: question twice": ("user", "{{ question }} {{ question }}", "must contain {{ question }} exactly once"),
    "user: only with two images": (
        "user",
        "{% if images == 2 %}{{ question }}{% endif %}",
        "must contain {{ question }} exactly once",
    ),
    "user: unfilled": ("user", "{{ question }} {{ skills }}", "'skills' is undefined"),
    "system: unfilled": ("system", "{{ question }}", "'question' is undefined"),
    "system: unknown rule": ("system", "{{ regime.max_turn }}", "no attribute 'max_turn'"),
}


@pytest.mark.parametrize(("kind", "template", "says"), TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_that_cannot_be_filled_is_found_at_loading(write, kind, template, says):
    write(template, "mine.j2")
    if kind == "skill":
        path, place = write(registry_text().replace("prompts/plain.j2", "mine.j2")), ":25: skills.Count_Things.prompt"
    else:
        path = write(registry_text(more=f"prompt:\n  {kind}: mine.j2"))
        place = f":28: prompt.{kind}"
    with pytest.raises(UserError) as caught:
        load_registry(path)
    message = str(caught.value)
    assert message.startswith(f"{path}{place}: mine.j2: ")
    assert says in message
    assert "\n" not in message


def test_a_template_that_is_no_text_is_named(write, tmp_path):
    (tmp_path / "mine.j2").write_bytes(b"\xff\xfe")
    path = write(registry_text().replace("prompts/plain.j2", "mine.j2"))
    with pytest.raises(UserError, match=r"small\.yaml:25: skills\.Count_Things\.prompt: .*mine\.j2 cannot be read"):
        load_registry(path)


# The hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Reads printed words", "Reads written words"),
        ("reader-model", "reader-model-2"),
        ("Words and digits", "Words and numbers"),
        ("Name the objects.", "Name all objects."),
        ("prompts/plain.j2", "prompts/ask.j2"),
        ("aliases: [ocr]", "aliases: [eyes]"),
        ("description: Counts", "sampling: {temperature: 1}\n    description: Counts"),
    ],
)
def test_the_hash_follows_what_can_change_a_score(write, old, new):
    before = load_registry(write(registry_text())).hash
    assert load_registry(write(registry_text().replace(old, new), "other.yaml")).hash != before


def test_the_hash_follows_the_text_of_templates_and_the_order_of_entries(write):
    text = registry_text().replace("prompts/plain.j2", "mine.j2")
    write("{{ request }}", "mine.j2")
    before = load_registry(write(text)).hash
    write("Please: {{ request }}", "mine.j2")
    assert load_registry(write(text)).hash != before
    swapped = "name: y\nextends: small.yaml\nremove: {experts: [reader]}\nexperts:\n"
    swapped += (
        "  reader: {model: reader-model, endpoint: here, aliases: [ocr], description: Reads printed words in an image.}"
    )
    registry = load_registry(write(registry_text()))
    moved = load_registry(write(swapped, "swapped.yaml"))
    assert moved.experts == registry.experts
    assert moved.hash != registry.hash


def test_the_hash_stays_with_address_time_and_place(write):
    before = load_registry(write(registry_text())).hash
    elsewhere = registry_text("http://10.1.1.1/v1", tries=7).replace("timeout_s: 20", "timeout_s: 90, concurrency: 2")
    registry = load_registry(write(elsewhere, "other/place.yaml"))
    assert registry.hash == before
    started = msgspec.structs.replace(registry, endpoints={}, path="nowhere")
    assert started.hash == before


def test_the_hash_is_made_of_the_entries_hashes(rich):
    before = load_registry(rich())
    after = load_registry(rich("keywords: [bar, column]", "keywords: [bar, columns]"))
    old, new = entry_hashes(before), entry_hashes(after)
    assert list(old)[:2] == ["experts.reader", "experts.counter"]
    assert {"services.spotter", "skills.Solve", "prompt.system", "prompt.user"} <= set(old)
    assert {name for name in old if old[name] != new[name]} == {"skills.Read_Chart"}
    assert before.hash != after.hash


def test_a_skills_hash_follows_the_texts_of_its_steps_and_solvers(rich, write):
    before = entry_hashes(load_registry(rich()))
    write("Other: {{ request }}", "bar.j2")
    middle = entry_hashes(load_registry(rich()))
    write("Other: {{ question }}", "look.j2")
    after = entry_hashes(load_registry(rich()))
    assert {name for name in before if before[name] != middle[name]} == {"skills.Read_Chart"}
    assert {name for name in before if middle[name] != after[name]} == {"skills.Solve"}


@pytest.mark.parametrize(("new", "same"), [("gpus: 4", True), ("args: {dtype: half}", False)])
def test_the_hash_follows_what_is_served_and_not_on_how_many_gpus(write, new, same):
    text = registry_text().replace("    description: Counts", "    serve: {model: m}\n    description: Counts")
    before = load_registry(write(text)).hash
    assert (load_registry(write(text.replace("{model: m}", f"{{model: m, {new}}}"))).hash == before) is same
