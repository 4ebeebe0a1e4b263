"""Runs a released skill once in the user's interpreter; imports only the standard library, openai and the release.

``pipeline`` starts this as a script. It reads one JSON object from standard input and writes one line of JSON to
standard output; what the released code prints goes to standard error. Then the process waits to be killed, so that
processes which the released code left running can still be found as its children.
"""

from __future__ import annotations

import base64
import ctypes
import importlib
import json
import os
import signal
import sys
import time
from typing import Any

MAX_REQUEST = 16 << 20
_PR_SET_PDEATHSIG = 1
_WAIT_TO_BE_KILLED_S = 60


def main() -> None:
    reply = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _die_with_parent()
    task = json.loads(sys.stdin.buffer.read(MAX_REQUEST))
    # This replaces the script's folder, whose modules would hide the release's.
    sys.path[0] = task["root"]
    try:
        answer = _use(task)
    except BaseException as error:  # the release may raise anything, SystemExit included
        answer = {"kind": "raised", "text": f"{type(error).__name__}: {error}"}
    reply.write(json.dumps(answer).encode() + b"\n")
    reply.close()
    if not task.get("check"):
        time.sleep(_WAIT_TO_BE_KILLED_S)


def _use(task: dict[str, Any]) -> dict[str, Any]:
    # These are imported by name, because only the user's interpreter has them.
    openai = importlib.import_module("openai")
    _redirect(openai, task.get("redirect", {}))
    load_skills, factory = importlib.import_module("skills.load_skills"), importlib.import_module("skills.factory")

    if task.get("check"):
        # Without these two the release silently draws no boxes and leaves images as they are.
        for name in ("cv2", "PIL.Image"):
            importlib.import_module(name)
        return {"kind": "checked"}
    client = openai.OpenAI(base_url=task["base_url"], api_key=task["api_key"], timeout=task["timeout"])
    skill = load_skills.Skill(
        skill_name=task["skill"],
        skill_config={
            "name": task["skill"],
            "model_name": task["model"],
            "base_url": task["base_url"],
            "api_key": task["api_key"],
            "number": 3,
            "retry": 3,
        },
    )
    made = factory.SkillFactory(
        client=client,
        skill_client=client,
        skill_model_name=task["model"],
        model=task["model"],
        system_prompt="",
        question=task["question"],
        images=[_data_url(path) for path in task["jpegs"]],
        have_image=bool(task["jpegs"]),
        temperature=task["temperature"],
        top_p=task["top_p"],
        timeout=task["timeout"],
        image_paths=task["image_paths"],
        dataset="",
    )
    return _read(made.get_skill(skill).generate())


def _redirect(openai: Any, addresses: dict[str, str]) -> None:
    """Redirect OpenAI clients from the addresses that are hard-coded in the release."""

    class Redirected(openai.OpenAI):  # type: ignore[misc]
        def __init__(self, *args: Any, **named: Any) -> None:
            written = str(named.get("base_url") or "").rstrip("/")
            if written in addresses:
                named["base_url"] = addresses[written]
            super().__init__(*args, **named)

    openai.OpenAI = Redirected


def _read(result: Any) -> dict[str, Any]:
    """Classify a result by its type: the release returns a completion, a string on error, or None."""
    if result is None:
        return {"kind": "none"}
    if isinstance(result, str):
        return {"kind": "string", "text": result}
    choice = result.choices[0]
    return {
        "kind": "completion",
        "text": choice.message.content,
    }


def _data_url(path: str) -> str:
    with open(path, "rb") as file:
        return "data:image/jpeg;base64," + base64.b64encode(file.read()).decode()


def _die_with_parent() -> None:
    """On Linux, have the kernel kill this process when the worker that started it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
