"""The pipeline that runs a user's copy of the released skills, in a process of the user's interpreter.

Promise: each use is a fresh process in its own session, in a private folder with only the sample's images, and with an
environment of addresses and nothing else of ours. It is killed with all its descendants when it is done, at the
deadline, and when the rollout is cancelled. Every address that it gets is our gateway's, which limits, retries, caches
and records its calls like ours (``gateway``).

Trade-off: the code is the user's and is trusted. This is no sandbox: the code may read what its user may read. A
process that hides from us (its own session and a cleared environment) outlives its use.

Replies and errors are distinguished by type, not by wording: the released code returns a ChatCompletion for a reply,
and a string or None otherwise. So every string is a failure of the expert, with the string as its reason.

``options``: ``root`` (the released repository), ``python`` (the interpreter), ``skill`` (its name there; by default the
registry's), ``release`` (hash of the code; changed code is refused), ``timeout_s`` (of one use), ``processes`` (most
at once).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

from msgspec import Struct

from maestro_eval.records import CallError, FailureCause, RolloutFailure, UserError
from maestro_eval.registry import Registry
from maestro_eval.released.gateway import EXPERT, Gateway
from maestro_eval.released.process import ERRORS_KEPT, MAX_REPLY, Ended, converse
from maestro_eval.released.release import ReleasedCode, code_hash
from maestro_eval.skills import PictureError, SkillContext, as_jpeg

HOST = Path(__file__).with_name("host.py")

_MAX_REQUEST = 4 << 20
_CHECK_S = 120.0
# The released code's sampling of experts, used if the registry sets none.
_TEMPERATURE, _TOP_P = 0.2, 1.0
_ADDRESSES = {"ocr": "GLM_OCR_BASE_URL", "detection": "DETECTION_BASE_URL", "caption": "OPENAI_BASE_URL"}
_MODELS = {"ocr": "GLM_OCR_MODEL", "detection": "DETECTION_MODEL", "caption": "CAPTION_MODEL"}
# The OpenAI client does not start without a key.
_NO_KEY = "none"
# These are hard-coded in the released code.
_ZOOM_ADDRESSES = ("http://localhost:2370/v1", "http://127.0.0.1:2370/v1")
_SUFFIXES = {
    "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif", "image/bmp": ".bmp",
}  # fmt: skip

_UNKNOWN_REPLY = "the released skill's process returned a malformed result"

_process_limits: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def run(context: SkillContext) -> str:
    """Return the reply of the released skill. Raise RolloutFailure if there is none."""
    settings = _settings(context)
    began = time.monotonic()
    left = settings.timeout_s if context.deadline is None else min(settings.timeout_s, context.deadline - began)
    outcome = _Outcome()
    async with Gateway(context.client, context.registry, context.expert, began + left) as gateway:
        try:
            async with asyncio.timeout(left), _process_limit(settings.processes):
                with tempfile.TemporaryDirectory(prefix="maestro-released-", ignore_cleanup_errors=True) as folder:
                    task = await asyncio.to_thread(_write_input, context, settings, gateway, Path(folder), left)
                    environment = _environment(settings.code.root, Path(folder))
                    environment.update(service_environment(context.registry, gateway))
                    outcome = _read(await converse((settings.code.python, HOST), task, environment, Path(folder)))
        except TimeoutError:
            late = context.deadline is not None and context.deadline - began <= settings.timeout_s
            killed = f"released skill {settings.skill} was not done in {left:.1f} s and was killed"
            outcome = _Outcome(fault=CallError("deadline" if late else "timeout", killed))
        finally:
            context.calls.extend(gateway.calls)
            context.missing.extend(gateway.missing)
    if outcome.fault is None:
        return outcome.text
    # The fault of its last call of the expert is more specific than the released code's message.
    failed = gateway.calls[-1] if gateway.calls and gateway.calls[-1].kind == "expert" else None
    if outcome.fault.kind == "released" and failed is not None and failed.fault is not None:
        raise RolloutFailure.of_call("expert", failed, name=context.expert.name)
    cause: FailureCause = "deadline" if outcome.fault.kind == "deadline" else "expert"
    raise RolloutFailure(cause, f"{context.expert.name}: {outcome.fault}", fault=outcome.fault)


def check_code(code: ReleasedCode) -> None:
    """Raise UserError unless the interpreter can import the released skills, ``openai``, ``cv2`` and Pillow."""
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
        raise UserError(f"{code.root}: importing its skills took over {_CHECK_S:g} s; see what they run") from None
    outcome = _read(Ended(done.stdout[:MAX_REPLY], done.stderr[-ERRORS_KEPT:]))
    if not outcome.checked:
        raise UserError(
            f"{code.root}: {code.python} cannot import its skills ({outcome.fault}); "
            f"name an interpreter with their packages by --python"
        )


def service_environment(registry: Registry, gateway: Gateway) -> dict[str, str]:
    """Return the environment variables from which the released code reads its services, with the gateway's addresses.

    The placeholder key is needed because the released code calls no captioner without one.
    """
    environment = {variable: gateway.url(name) for name, variable in _ADDRESSES.items()}
    models = {_MODELS[name]: service.model for name, service in registry.services.items() if name in _MODELS}
    return {**environment, **models, "OPENAI_API_KEY": _NO_KEY}


class _Settings(Struct, frozen=True):
    code: ReleasedCode
    skill: str
    timeout_s: float
    processes: int


class _Outcome(Struct, frozen=True):
    """A reply, or the fault; ``checked`` is True after a successful check."""

    text: str = ""
    fault: CallError | None = None
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
    """Cache `code_hash` for the process, since a release does not change during a run."""
    return code_hash(root)


def _process_limit(processes: int) -> asyncio.Semaphore:
    """Return this loop's limit on processes, which bounds the memory for interpreters with the release."""
    return _process_limits.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(processes))


def _write_input(context: SkillContext, settings: _Settings, gateway: Gateway, folder: Path, left: float) -> bytes:
    """Write the images into the folder and return the process's input."""
    paths, jpegs = [], []
    for number, image in enumerate(context.images, start=1):
        path = folder / f"{number}{_SUFFIXES.get(image.ref.media_type, '.img')}"
        path.write_bytes(image.data)
        jpeg = folder / f"{number}.sent.jpg"
        try:
            jpeg.write_bytes(as_jpeg(image).data)
        except PictureError as error:
            raise RolloutFailure("sample", f"image {number} {error}", kind="unreadable image") from error
        paths.append(str(path))
        jpegs.append(str(jpeg))
    sampling = context.expert.sampling
    task = json.dumps(
        {
            "root": str(settings.code.root),
            "skill": settings.skill,
            "model": context.expert.model,
            "base_url": gateway.url(EXPERT),
            "api_key": _NO_KEY,
            "redirect": dict.fromkeys(_ZOOM_ADDRESSES, gateway.url("zoom")),
            "question": context.request,
            "image_paths": paths,
            "jpegs": jpegs,
            "temperature": _TEMPERATURE if sampling.temperature is None else sampling.temperature,
            "top_p": _TOP_P if sampling.top_p is None else sampling.top_p,
            "timeout": left,
        }
    ).encode()
    if len(task) > _MAX_REQUEST:
        detail = f"a request of {len(context.request)} characters is too long for a skill"
        raise RolloutFailure("policy", detail, kind="request too long")
    return task


def _environment(root: Path, folder: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": str(root),
        # No bytecode is written into the user's copy.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
    }


def _read(ended: Ended) -> _Outcome:
    if ended.too_long:
        return _fault(f"the released skill replied with more than {MAX_REPLY >> 20} MiB", kind="malformed")
    if not ended.line:
        last = ended.errors.decode(errors="replace").strip().rpartition("\n")[2]
        return _fault(f"the process ended without a result ({_line(last) or 'nothing on stderr'})")
    try:
        result: dict[str, Any] = json.loads(ended.line)
        kind, text = result["kind"], result.get("text")
    except (ValueError, TypeError, KeyError):
        return _fault(_UNKNOWN_REPLY, kind="malformed")
    if kind == "checked":
        return _Outcome(checked=True)
    if kind == "completion" and isinstance(text, str):
        return _Outcome(text=text)
    reasons = {
        "completion": "the completion has no text",
        "none": "the skill returned None, so it had no reply",
        "string": f"the skill returned an error: {_line(text) or 'an empty string'}",
        "raised": f"the skill raised {_line(text)}",
    }
    return _fault(reasons[kind]) if kind in reasons else _fault(_UNKNOWN_REPLY, kind="malformed")


def _fault(why: str, *, kind: Literal["released", "malformed"] = "released") -> _Outcome:
    return _Outcome(fault=CallError(kind, why))


def _line(text: object) -> str:
    """Return ``text`` on one line of at most 500 characters."""
    words = " ".join(str(text or "").split())
    return words if len(words) <= 500 else f"{words[:500]}…"
