"""The pipeline that runs a user's own copy of the released skills, in a process of the user's own interpreter.

Promise: each use is a fresh process in its own session, in an empty private folder that holds the sample's images,
with an environment of service addresses and nothing of ours; it is killed with all that it started when it is done,
at the deadline, and when the rollout is cancelled. It is recorded as one call of the expert.

Trade-offs: the released code calls models itself, so those calls pass our client by. They are not limited, retried,
cached or recorded one by one; ``usage`` is what the released code returned, mostly that of its last call. The code is
the user's and is trusted: this is no sandbox, it may read what its user may read. A process that hides from us (its
own session and a cleared environment) outlives its use.

A reply is told from an error by its type, not by its words: the released code returns a ChatCompletion when it has a
reply, and a string or None when it has none. So every string is a failure of the expert, with the string as its reason.

``options``: ``root`` (the released repository), ``python`` (the interpreter), ``skill`` (its name there; by default the
registry's), ``release`` (hash of the code, refused when it has changed), ``timeout_s`` (of one use), ``processes``
(at once).
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.experts import Endpoint
from maestro_eval.experts.transport import shown_url
from maestro_eval.files import read_pixels
from maestro_eval.registry import Expert, Registry, Service
from maestro_eval.registry.release import ReleasedCode, code_hash
from maestro_eval.skills.context import SkillContext
from maestro_eval.skills.models import endpoint_of
from maestro_eval.skills.released_process import ERRORS_KEPT, MAX_REPLY, Ended, converse
from maestro_eval.types import CallError, ExpertCall, Image, MissingEvidence, RolloutFailure, Timing, Usage, UserError

HOST = Path(__file__).with_name("released_host.py")

_MAX_REQUEST = 4 << 20
_CHECK_S = 120.0
# The released code's own for its expert calls, where the registry leaves it to the endpoint.
_TEMPERATURE, _TOP_P = 0.2, 1.0
_VARIABLES = {"ocr": "GLM_OCR_BASE_URL", "detection": "DETECTION_BASE_URL", "caption": "OPENAI_BASE_URL"}
# Fixed in the released code.
_ZOOM = ("http://localhost:2370/v1", "http://127.0.0.1:2370/v1")
_SUFFIXES = {
    "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif", "image/bmp": ".bmp",
}  # fmt: skip

_NOT_OURS = "the released skill's process said something that is not ours"

_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def run(context: SkillContext) -> str:
    """The reply of the released skill; RolloutFailure when there is none."""
    settings = _settings(context)
    services, lost = service_environment(context.registry)
    wanted = {use.service for use in context.skill.evidence}
    images = range(1, len(context.images) + 1)
    context.missing.extend(
        MissingEvidence(service, number, fault.detail, fault)
        for service, fault in lost.items()
        if service in wanted
        for number in images
    )
    context.notes.append(f"released skill {settings.skill}: its own model calls are not recorded one by one")
    endpoint, key = endpoint_of(context.registry, context.expert), _key(context.registry, context.expert)
    if endpoint.api_key_env and not key:
        fault = CallError("key", f"${endpoint.api_key_env} is not set; export it", retriable=False)
        raise RolloutFailure("expert", f"{context.expert.name}: {fault}", fault=fault)
    hidden = [secret for secret in (key, services.get("OPENAI_API_KEY", "")) if secret]
    started_at, began = time.time(), time.monotonic()
    left = settings.timeout_s if context.deadline is None else min(settings.timeout_s, context.deadline - began)
    outcome = _Outcome()
    try:
        async with asyncio.timeout(left), _place(settings.processes):
            with tempfile.TemporaryDirectory(prefix="maestro-released-", ignore_cleanup_errors=True) as folder:
                task = await asyncio.to_thread(_task, context, settings, endpoint, key, Path(folder), left)
                environment = {**_environment(settings.code.root, Path(folder)), **services}
                outcome = _read(await converse((settings.code.python, HOST), task, environment, Path(folder)))
    except TimeoutError:
        late = context.deadline is not None and context.deadline - began <= settings.timeout_s
        killed = f"released skill {settings.skill} was not done in {left:.1f} s and was killed"
        outcome = _Outcome(fault=CallError("deadline" if late else "timeout", killed))
    found = outcome.fault
    lack = found and replace(found, detail=_without(hidden, found.detail))
    call = ExpertCall(
        kind="expert",
        name=context.expert.name,
        model=context.expert.model,
        endpoint=shown_url(endpoint),
        request=context.request,
        reply=_without(hidden, outcome.text),
        images=tuple(image.ref.sha256 for image in context.images),
        finish_reason=outcome.finish_reason,
        usage=outcome.usage,
        error=str(lack or ""),
        timing=Timing(started_at, time.monotonic() - began),
        fault=lack,
    )
    context.calls.append(call)
    if call.error:
        raise RolloutFailure.of_call("expert", call, name=context.expert.name)
    return call.reply


def check_code(code: ReleasedCode) -> None:
    """UserError unless the interpreter starts and can import the released skills and ``openai``."""
    request = json.dumps({"check": True, "root": str(code.root)}).encode()
    command = [str(code.python), str(HOST)]
    environment = _environment(code.root, Path(tempfile.gettempdir()))
    try:
        done = subprocess.run(
            command, input=request, env=environment, capture_output=True, timeout=_CHECK_S, check=False
        )
    except OSError as error:
        raise UserError(f"--python {code.python}: cannot be started ({error.strerror})") from error
    except subprocess.TimeoutExpired:
        raise UserError(f"{code.root}: its skills are not imported after {_CHECK_S:g} s; see what they do") from None
    outcome = _read(Ended(done.stdout[:MAX_REPLY], done.stderr[-ERRORS_KEPT:]))
    if not outcome.checked:
        raise UserError(
            f"{code.root}: {code.python} cannot import its skills ({outcome.fault}); "
            f"name an interpreter that has what they need with --python"
        )


def service_environment(registry: Registry) -> tuple[dict[str, str], dict[str, CallError]]:
    """The variables that the released code reads, from the registry's services; and why one is lost, by service."""
    environment: dict[str, str] = {}
    lost: dict[str, CallError] = {}
    for name, variable in _VARIABLES.items():
        service = registry.services.get(name)
        if service is None:
            lost[name] = CallError("connection", f"the registry has none, so ${variable} is not set", retriable=False)
        else:
            environment[variable] = endpoint_of(registry, service).url
    caption = registry.services.get("caption")
    if caption is not None:
        environment["CAPTION_MODEL"] = caption.model
        variable = endpoint_of(registry, caption).api_key_env
        key = _key(registry, caption)
        if key:
            environment["OPENAI_API_KEY"] = key
        elif variable:
            lost["caption"] = CallError("key", f"${variable} is not set", retriable=False)
    zoom = registry.services.get("zoom")
    if zoom is not None and endpoint_of(registry, zoom).url not in _ZOOM:
        ours = shown_url(endpoint_of(registry, zoom))
        lost["zoom"] = CallError("connection", f"the released code asks {_ZOOM[0]}, not {ours}", retriable=False)
    return environment, lost


class _Settings(Struct, frozen=True):
    code: ReleasedCode
    skill: str
    timeout_s: float
    processes: int


class _Outcome(Struct, frozen=True):
    """A text, or why there is none."""

    text: str = ""
    fault: CallError | None = None
    finish_reason: str = ""
    usage: Usage = Usage()
    checked: bool = False


def _settings(context: SkillContext) -> _Settings:
    options = context.skill.options
    where = f"{context.registry.path}: skills.{context.skill.name}.options"
    root, python = options.get("root"), options.get("python")
    if not (isinstance(root, str) and isinstance(python, str)):
        raise RolloutFailure("harness", f"{where}: root and python are needed; run registry import --released-skills")
    timeout, processes = options.get("timeout_s", 900.0), options.get("processes", 8)
    if not isinstance(timeout, int | float) or not isinstance(processes, int) or min(timeout, processes) <= 0:
        raise RolloutFailure("harness", f"{where}: timeout_s and processes are numbers above 0")
    code = ReleasedCode(Path(root), Path(python))
    if "release" in options and _hash_once(code.root) != options["release"]:
        raise RolloutFailure("harness", f"{where}: {root}/skills has changed since the import; import it again")
    return _Settings(code, str(options.get("skill", context.skill.name)), float(timeout), processes)


@lru_cache(maxsize=16)
def _hash_once(root: Path) -> str:
    """Once a process: a run is short beside the life of a release."""
    return code_hash(root)


def _key(registry: Registry, entry: Expert | Service) -> str:
    variable = endpoint_of(registry, entry).api_key_env
    return os.environ.get(variable, "").strip() if variable else ""


def _place(processes: int) -> asyncio.Semaphore:
    """One of the places of this loop: an interpreter with the release in it takes memory, unlike a waiting call."""
    return _places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(processes))


def _task(context: SkillContext, settings: _Settings, endpoint: Endpoint, key: str, folder: Path, left: float) -> bytes:
    """What the process is told, with the images written into its folder under names of ours."""
    paths, jpegs = [], []
    for number, image in enumerate(context.images, start=1):
        path = folder / f"{number}{_SUFFIXES.get(image.ref.media_type, '.img')}"
        path.write_bytes(image.data)
        jpeg = path
        if image.ref.media_type != "image/jpeg":
            jpeg = folder / f"{number}.jpg"
            jpeg.write_bytes(_as_jpeg(image, number))
        paths.append(str(path))
        jpegs.append(str(jpeg))
    sampling = context.expert.sampling
    task = json.dumps(
        {
            "root": str(settings.code.root),
            "skill": settings.skill,
            "model": context.expert.model,
            "base_url": endpoint.url,
            # The OpenAI client refuses to start without any.
            "api_key": key or "none",
            "question": context.request,
            "image_paths": paths,
            "jpegs": jpegs,
            "temperature": _TEMPERATURE if sampling.temperature is None else sampling.temperature,
            "top_p": _TOP_P if sampling.top_p is None else sampling.top_p,
            "timeout": left,
        }
    ).encode()
    if len(task) > _MAX_REQUEST:
        raise RolloutFailure("policy", f"a request of {len(context.request)} characters is too long for a skill")
    return task


def _as_jpeg(image: Image, number: int) -> bytes:
    """The released code is given JPEG data, whatever the dataset has."""
    encoded = io.BytesIO()
    try:
        read_pixels(image.data).save(encoded, "JPEG", quality=95)
    except Exception as error:  # a decoder's faults have no common base
        raise RolloutFailure("sample", f"image {number} cannot be decoded ({type(error).__name__}: {error})") from error
    return encoded.getvalue()


def _environment(root: Path, folder: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": str(root),
        # The user's copy stays as it is.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
    }


def _read(ended: Ended) -> _Outcome:
    if ended.too_long:
        return _lacking(f"the released skill replied with more than {MAX_REPLY >> 20} MiB", kind="malformed")
    if not ended.line:
        last = ended.errors.decode(errors="replace").strip().rpartition("\n")[2]
        return _lacking(f"the process ended without a result ({_line(last) or 'nothing on stderr'})")
    try:
        said: dict[str, Any] = json.loads(ended.line)
        kind, text = said["kind"], said.get("text")
    except (ValueError, TypeError, KeyError):
        return _lacking(_NOT_OURS, kind="malformed")
    if kind == "checked":
        return _Outcome(checked=True)
    if kind == "completion" and isinstance(text, str):
        usage = Usage(int(said["prompt_tokens"]), int(said["completion_tokens"]))
        return _Outcome(text=text, finish_reason=str(said["finish_reason"]), usage=usage)
    reasons = {
        "completion": "the completion has no text",
        "none": "the skill returned None, so it had no reply",
        "string": f"the skill returned an error: {_line(text) or 'an empty string'}",
        "raised": f"the skill raised {_line(text)}",
    }
    return _lacking(reasons[kind]) if kind in reasons else _lacking(_NOT_OURS, kind="malformed")


def _lacking(why: str, *, kind: Literal["released", "malformed"] = "released") -> _Outcome:
    return _Outcome(fault=CallError(kind, why))


def _line(text: object) -> str:
    """One line, and not a long one."""
    words = " ".join(str(text or "").split())
    return words if len(words) <= 500 else f"{words[:500]}…"


def _without(hidden: list[str], text: str) -> str:
    """The code is handed the keys, and an error may well quote them."""
    for secret in hidden:
        text = text.replace(secret, "***")
    return text
