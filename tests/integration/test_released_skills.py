"""A user's copy of the released skills in a process of its own: what it is told, what comes back, and that it ends.

The copy is written here, with the interface of the released one: what a skill does is what the question says. Its
calls are real ones, through our gateway to a simulated server.
"""

import asyncio
import hashlib
import io
import json
import os
import sys
import time
from pathlib import Path

import pytest
from patience import PATIENCE_S, is_running
from PIL import Image as Picture
from release_worlds import fake_release, row, write_release

from maestro_eval.models import ExpertClient
from maestro_eval.records import Image, ImageRef, UserError
from maestro_eval.registry import RELEASED_PIPELINE, load_registry
from maestro_eval.released import ReleasedCode, check_code
from maestro_eval.released.release import code_hash
from maestro_eval.skills import EvidenceCache, SkillContext
from maestro_eval.testing import SimulatedServer
from tests.unit.skills.skill_worlds import run_skill

DEAD = "http://127.0.0.1:9/v1"
LOADER = """
class Skill:
    def __init__(self, skill_name, skill_config):
        assert set(skill_config) == {"name", "model_name", "base_url", "api_key", "number", "retry"}
        self.name, self.config = skill_name, skill_config
"""
OPENAI = """
class OpenAI:
    def __init__(self, base_url, api_key, timeout):
        self.base_url, self.api_key = base_url, api_key
"""
FACTORY = """
import json, os, subprocess, sys, time
from types import SimpleNamespace as N
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def completion(text):
    return N(choices=[N(message=N(content=text), finish_reason="stop")], usage=N(prompt_tokens=7, completion_tokens=3))


def post(url, body):
    request = Request(url + "/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        return json.load(urlopen(request))["choices"][0]["message"]["content"]
    except HTTPError as error:
        return str(error.code) + " " + json.load(error)["error"]["message"]


class SkillFactory:
    def __init__(self, client, skill_client, skill_model_name, model, system_prompt, question, images, have_image,
                 temperature, top_p, timeout, image_paths, dataset):
        self.told = dict(locals())
        self.question = question

    def get_skill(self, skill):
        self.skill = skill
        return self

    def generate(self):
        what, _, rest = self.question.partition(" ")
        return getattr(self, what)(rest)

    def tell(self, rest):
        print("a print is no reply")
        told = {k: v for k, v in self.told.items() if isinstance(v, (str, int, float, list))}
        paths = self.told["image_paths"]
        sizes = [os.path.getsize(path) for path in paths]
        return completion(json.dumps({
            "told": told, "skill": self.skill.name, "config": self.skill.config, "env": dict(os.environ),
            "sizes": sizes, "cwd": os.listdir("."), "base_url": self.told["client"].base_url, "path": sys.path[0],
        }))

    def ask(self, rest):
        # Asks each of the models that are named about the first image, and tells what they said.
        from openai import OpenAI

        addresses = {"ocr": "GLM_OCR_BASE_URL", "detection": "DETECTION_BASE_URL", "caption": "OPENAI_BASE_URL"}
        said = []
        for name in rest.split():
            if name == "zoom":
                url = OpenAI(base_url="http://localhost:2370/v1", api_key="EMPTY", timeout=1).base_url
            else:
                url = os.environ[addresses[name]] if name in addresses else self.told["client"].base_url
            image = {"type": "image_url", "image_url": {"url": self.told["images"][0]}}
            text = {"type": "text", "text": "What is it?"}
            body = {"model": "written-in", "messages": [{"role": "user", "content": [text, image]}], "temperature": 0.5}
            said.append(name + ": " + post(url, {**body, "stop": ["x"]} if name == "zoom" else body))
        return "Error: " + said[-1] if said[-1].startswith("expert: 4") else completion(json.dumps(said))

    def error(self, rest):
        return "Error: " + rest

    def none(self, rest):
        return None

    def wordless(self, rest):
        return completion(None)

    def crash(self, rest):
        print("the last words", file=sys.stderr)
        os._exit(9)

    def quit(self, rest):
        sys.exit("enough")

    def odd(self, rest):
        return {"no": "completion"}

    def reply(self, rest):
        return completion("x" * int(rest))

    def prints(self, rest):
        for _ in range(int(rest) // 1000000):
            print("x" * 1000000)
            sys.stderr.write("y" * 1000000)
        return completion("still here")

    def leak(self, rest):
        return "401 for key " + self.skill.config["api_key"]

    def pause(self, rest):
        time.sleep(float(rest))
        return completion("rested")

    def stray(self, rest):
        self.start(rest)
        return completion("done")

    def hang(self, rest):
        self.start(rest)
        while True:
            time.sleep(1)

    def start(self, rest):
        # One child in our session, one in a session of its own whose parent is gone.
        code = "import os, sys, time; open(sys.argv[1] + str(os.getpid()), 'w').close(); time.sleep(300)"
        subprocess.Popen([sys.executable, "-c", code, rest])
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execv(sys.executable, [sys.executable, "-c", code, rest])
            os._exit(0)
        while len(os.listdir(os.path.dirname(rest))) < 2:
            time.sleep(0.01)
"""
REGISTRY = """
name: mine
endpoints:
  here: {{url: {up}, api_key_env: MINE_KEY, max_tries: 1}}
  eyes: {{url: {up}}}
  tell: {{url: {up}, api_key_env: CAPTION_KEY}}
  look: {{url: {zoom}, max_tries: 1}}
experts:
  thinker: {{model: Thinker-8B, endpoint: here, description: Thinks., sampling: {{temperature: 0.5}}}}
services:
  ocr: {{model: GLM-OCR, endpoint: eyes, request: Read.}}
  caption: {{model: teller, endpoint: tell, request: Tell.}}
  zoom: {{model: Z, endpoint: look, request: Look.}}
skills:
  Chart_Problem_Solver:
    description: Charts.
    pipeline: {pipeline}
    evidence: [ocr, caption, zoom]
    options: {{root: {root}, python: {python}, skill: chart_solver, release: "{release}"{more}}}
"""


@pytest.fixture
def release(tmp_path):
    root = fake_release(tmp_path / "release", LOADER, FACTORY)
    (root / "openai.py").write_text(OPENAI)
    return root


@pytest.fixture
def use(tmp_path, release, monkeypatch):
    """One use of the skill with a request; returns the result."""
    monkeypatch.setenv("MINE_KEY", "sk-mine")
    monkeypatch.setenv("SECRET", "not for others")

    async def use(request, *, deadline_s=PATIENCE_S, more="", python=sys.executable, images=(), up=DEAD, zoom=DEAD):
        path = tmp_path / "registry.yaml"
        of_release = {"root": release, "python": python, "release": code_hash(release), "more": more}
        path.write_text(REGISTRY.format(pipeline=RELEASED_PIPELINE, up=up, zoom=zoom, **of_release))
        registry = load_registry(path)
        deadline = time.monotonic() + deadline_s
        async with ExpertClient() as client:
            return await run_skill(
                SkillContext(
                    request=request,
                    question="the sample's question",
                    images=images,
                    expert=registry.experts["thinker"],
                    skill=registry.skills["Chart_Problem_Solver"],
                    registry=registry,
                    client=client,
                    cache=EvidenceCache(registry, client, deadline),
                    deadline=deadline,
                )
            )

    return use


def drawn(kind: str) -> Image:
    data = io.BytesIO()
    Picture.new("RGB", (40, 30), (200, 10, 10)).save(data, kind)
    content = data.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    return Image(ImageRef(digest, f"image/{kind.lower()}", 40, 30, len(content)), content)


def alive(folder: Path) -> list[str]:
    """The processes that announced themselves in ``folder`` and still run."""
    return [name for name in os.listdir(folder) if is_running(int(name.removeprefix("pid")))]


# What it is told, and what is recorded


async def test_a_use_is_told_all_that_the_interface_names(use, release):
    images = (drawn("PNG"), drawn("JPEG"))
    result = await use("tell me", images=images)
    assert result.failure is None
    said = json.loads(result.text)
    told = said["told"]
    assert (told["question"], told["model"], told["skill_model_name"]) == ("tell me", "Thinker-8B", "Thinker-8B")
    assert (told["have_image"], told["temperature"], told["top_p"]) == (True, 0.5, 1.0)
    assert 0 < told["timeout"] <= PATIENCE_S
    assert [url[:30] for url in told["images"]] == ["data:image/jpeg;base64,/9j/4AA"] * 2
    assert [Path(path).name for path in told["image_paths"]] == ["1.png", "2.jpg"]
    assert said["sizes"] == [len(image.data) for image in images]
    assert said["skill"] == "chart_solver"
    assert said["config"]["base_url"] == said["base_url"]
    assert said["base_url"].endswith("/expert/v1")
    assert said["path"] == str(release)
    assert (result.calls, result.notes, result.missing) == ((), (), ())


async def test_its_calls_are_made_as_ours_and_recorded_one_by_one(use):
    async with SimulatedServer(reply=lambda body: f"{body['model']} at {body['temperature']}") as server:
        result = await use("ask ocr zoom expert", images=(drawn("PNG"),), up=server.url, zoom=server.url)
    assert json.loads(result.text) == ["ocr: GLM-OCR at 0.5", "zoom: Z at 0.5", "expert: Thinker-8B at 0.5"]
    assert [(call.kind, call.name, call.request, len(call.images)) for call in result.calls] == [
        ("service", "ocr", "What is it?", 1),
        ("service", "zoom", "What is it?", 1),
        ("expert", "thinker", "What is it?", 1),
    ]
    assert all(call.usage.prompt_tokens for call in result.calls)
    assert [request.model for request in server.requests] == ["GLM-OCR", "Z", "Thinker-8B"]


async def test_a_service_that_is_lost_is_noted_and_the_use_goes_on(use):
    async with SimulatedServer(reply="red") as server:
        images = (drawn("PNG"),)
        result = await use("ask ocr detection caption zoom expert", images=images, up=server.url)
    assert json.loads(result.text)[-1] == "expert: red"
    lost = [(each.service, each.image, each.fault.kind, each.fault.retriable) for each in result.missing]
    assert lost == [
        ("detection", 1, "connection", False),
        ("caption", 1, "key", False),
        ("zoom", 1, "connection", True),
    ]
    assert [call.name for call in result.calls] == ["ocr", "caption", "zoom", "thinker"]


async def test_an_expert_that_is_lost_fails_the_use_with_its_own_reason(use):
    result = await use("ask expert", images=(drawn("PNG"),))
    assert (result.failure.cause, result.failure.fault.kind) == ("expert", "connection")
    assert result.failure.detail.startswith("thinker: connection: ")


async def test_the_environment_is_that_of_the_services_and_nothing_of_ours(use, monkeypatch):
    monkeypatch.setenv("CAPTION_KEY", "sk-caption")
    result = await use("tell me")
    seen = json.loads(result.text)["env"]
    assert seen["GLM_OCR_BASE_URL"].endswith("/ocr/v1")
    assert seen["OPENAI_BASE_URL"].endswith("/caption/v1")
    assert (seen["GLM_OCR_MODEL"], seen["CAPTION_MODEL"]) == ("GLM-OCR", "teller")
    assert "sk-" not in result.text
    assert not {"SECRET", "MINE_KEY", "CAPTION_KEY"} & set(seen)
    assert Path(seen["HOME"]).name not in os.listdir(Path(seen["HOME"]).parent)


# What comes back instead of a reply


@pytest.mark.parametrize(
    ("request_text", "error"),
    [
        ("error the model is away", "released: the skill returned an error: Error: the model is away"),
        ("none", "released: the skill returned None, so it had no reply"),
        ("wordless", "released: the completion has no text"),
        ("crash", "released: the process ended without a result (the last words)"),
        ("quit", "released: the skill raised SystemExit: enough"),
        ("odd", "released: the skill raised AttributeError: 'dict' object has no attribute 'choices'"),
        ("leak", "released: the skill returned an error: 401 for key none"),
        ("reply 100000000", "malformed: the released skill replied with more than 8 MiB"),
    ],
)
async def test_what_is_no_reply_is_a_typed_failure(use, request_text, error):
    result = await use(request_text)
    assert (result.failure.cause, result.failure.detail, result.calls) == ("expert", f"thinker: {error}", ())


async def test_prints_without_end_are_no_reply_and_take_no_memory(use):
    result = await use("prints 50000000")
    assert result.text == "still here"


# That it ends


@pytest.mark.parametrize(("limit", "cause"), [({"deadline_s": 4}, "deadline"), ({"more": ", timeout_s: 4"}, "expert")])
async def test_a_hang_is_killed_in_time_with_all_that_it_started(use, tmp_path, limit, cause):
    (tmp_path / "seen").mkdir()
    result = await asyncio.wait_for(use(f"hang {tmp_path}/seen/pid", **limit), PATIENCE_S)
    assert result.failure.cause == cause
    assert "was not done in" in result.failure.detail
    assert alive(tmp_path / "seen") == []


async def test_what_a_use_leaves_running_is_killed_when_it_is_done(use, tmp_path):
    (tmp_path / "seen").mkdir()
    assert (await use(f"stray {tmp_path}/seen/pid")).text == "done"
    assert len(os.listdir(tmp_path / "seen")) == 2
    assert alive(tmp_path / "seen") == []


async def test_a_cancelled_use_leaves_nothing(use, tmp_path):
    (tmp_path / "seen").mkdir()
    running = asyncio.create_task(use(f"hang {tmp_path}/seen/pid"))
    while len(os.listdir(tmp_path / "seen")) < 2:  # noqa: ASYNC110  (another process's doing)
        await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert alive(tmp_path / "seen") == []


async def test_places_are_bounded(use):
    began = time.monotonic()
    results = await asyncio.gather(*(use("pause 0.6", more=", processes: 1") for _ in range(3)))
    assert [result.text for result in results] == ["rested"] * 3
    assert time.monotonic() - began > 1.8


# What a user can get wrong


async def test_an_interpreter_that_is_not_there_is_the_harness_fault(use, release):
    result = await use("tell me", python="/no/such/python")
    assert (result.failure.cause, result.calls) == ("harness", ())
    assert "/no/such/python cannot be started" in result.failure.detail
    with pytest.raises(UserError, match="--python /no/such/python: cannot be started"):
        check_code(ReleasedCode(release, Path("/no/such/python")))


async def test_a_key_that_is_not_set_is_said(use, monkeypatch):
    monkeypatch.delenv("MINE_KEY")
    result = await use("ask expert", images=(drawn("PNG"),))
    assert result.failure.fault.kind == "key"
    assert "$MINE_KEY is not set; export" in result.failure.detail


def test_a_copy_that_cannot_be_imported_is_refused_with_the_reason(release):
    code = ReleasedCode(release, Path(sys.executable))
    check_code(code)
    (release / "skills" / "factory.py").write_text("import hishel_of_nobody\n")
    with pytest.raises(UserError, match=r"No module named 'hishel_of_nobody'.*name an interpreter"):
        check_code(code)


def test_what_the_release_would_do_without_in_silence_is_checked_too(release):
    (release / "skills" / "factory.py").write_text("import sys\nsys.modules['cv2'] = None\n")
    with pytest.raises(UserError, match=r"cv2.*name an interpreter"):
        check_code(ReleasedCode(release, Path(sys.executable)))


async def test_a_copy_that_changed_since_the_import_is_refused(use, tmp_path, release):
    path = tmp_path / "registry.yaml"
    assert (await use("tell me")).failure is None
    text = path.read_text().replace(code_hash(release), "0" * 64)
    path.write_text(text)
    registry = load_registry(path)
    context = SkillContext(
        "tell me", "?", (), registry.experts["thinker"], registry.skills["Chart_Problem_Solver"], registry,
        ExpertClient(), EvidenceCache(registry, ExpertClient(), None),
    )  # fmt: skip
    failure = (await run_skill(context)).failure
    assert failure.cause == "harness"
    assert "has changed since the import; import it again" in failure.detail


# From the command line


def test_an_import_writes_a_registry_that_checks_and_says_what_it_bound(cli, tmp_path, release):
    write_release(release / "data" / "example.parquet", [row()])
    imported = cli("registry", "import", release, "--out", "mine", "--released-skills", "--python", sys.executable)
    assert (imported.returncode, imported.stderr) == (0, "")
    assert "skill Chart_Problem_Solver: runs the released Chart_Problem_Solver" in imported.stdout.splitlines()
    assert cli("registry", "check", "mine").returncode == 0
    again = cli("registry", "import", release, "--out", "mine")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "maestro-eval: mine: exists already and is not overwritten; choose another --out\n"
