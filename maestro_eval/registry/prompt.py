"""The orchestrator's prompt, rendered from a registry's own templates.

Templates are users' files: they run within limits (``text/templates``), and an unknown variable is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import jinja2

from maestro_eval.records import Image, ImagePart, Message, Part, Regime, TextPart, UserError
from maestro_eval.registry.records import Prompts, Registry
from maestro_eval.text.templates import render, unfilled

# Replaces the question during rendering, so that its text can be distinguished from the template's.
_QUESTION = "\x00question\x00"


def render_template(template: str, what: str, **variables: Any) -> str:
    """Fill a template; UserError names the template by ``what`` and describes the error."""
    try:
        return render(template, **variables)
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"{what}: line {error.lineno}: not a valid template: {error.message}") from None
    except Exception as error:  # a template can fail in any way: 1 / 0, a filter on the wrong type, …
        reason = " ".join(str(error).split())
        raise UserError(f"{what}: cannot be rendered: {type(error).__name__}: {reason}") from None


def check_with_evidence(template: str, what: str, **variables: Any) -> None:
    """Raise UserError unless a skill's or service's prompt can be filled, with and without evidence, in every branch.

    ``variables`` are its variables besides the request, the question and the evidence.
    """
    piece = SimpleNamespace(service="a-service", image=1, text="what it says", picture=None)
    for evidence in ([], [piece]):
        _check(template, what, {"request": "a request", "question": "a question", "evidence": evidence, **variables})


def check_prompts(registry: Registry, system: str, user: str) -> None:
    """Raise UserError, which names one as ``system`` or ``user``, unless the orchestrator's messages can be rendered.

    The user message must show the question once.
    """
    _check(registry.prompts.system, system, _system_variables(registry, Regime()))
    _check(registry.prompts.user, user, {"question": _QUESTION, "images": 1})
    for images in (0, 1, 2):
        _around_question(registry.prompts, user, images)


def _check(template: str, what: str, variables: Mapping[str, Any]) -> None:
    """Check also the branches that rendering does not reach: they may contain a misspelt variable."""
    render_template(template, what, **variables)
    if names := unfilled(template, variables):
        raise UserError(f"{what}: unknown variable {names[0]!r}; known: {', '.join(variables)}")


def without_placeholders(question: str, images: Sequence[Image]) -> str:
    """Return the question as it is sent with ``images``: without their placeholders."""
    return question.replace("<image>", "") if images else question


def render_system(registry: Registry, regime: Regime) -> str:
    """Return the system message: the role, the entries and how to call them, and how to end."""
    variables = _system_variables(registry, regime)
    rendered = render_template(registry.prompts.system, f"{registry.path}: prompt.system", **variables)
    return rendered if registry.prompts.exact else rendered.strip()


def user_message(registry: Registry, question: str, images: Sequence[Image]) -> Message:
    """Return the first user message: the images, then the template with the question in its place.

    ``<image>`` in a question marks a picture's position in its data set; it is removed if the picture is sent.
    """
    question = without_placeholders(question, images)
    before, after = _around_question(registry.prompts, f"{registry.path}: prompt.user", len(images))
    texts = [TextPart(before), TextPart(question, "question"), TextPart(after)]
    parts: list[Part] = [ImagePart(image) for image in images]
    parts.extend(part for part in texts if part.text)
    return Message("user", tuple(parts))


def prompt_note(registry: Registry) -> str:
    """Return one line if the registry's prompt replaces one that is not imported yet; else an empty text."""
    if not registry.prompts.stand_in:
        return ""
    return (
        f"{registry.name}: the prompt is ours, not the released one, which is not shipped: "
        f"`maestro-eval registry import RELEASE --out DIR` takes it from your copy; then use --registry DIR"
    )


def _system_variables(registry: Registry, regime: Regime) -> dict[str, Any]:
    return {"experts": list(registry.experts.values()), "skills": list(registry.skills.values()), "regime": regime}


def _around_question(prompts: Prompts, what: str, images: int) -> tuple[str, str]:
    rendered = render_template(prompts.user, what, question=_QUESTION, images=images)
    before, mark, after = (rendered if prompts.exact else rendered.strip()).partition(_QUESTION)
    if not mark or _QUESTION in after:
        raise UserError(f"{what}: the template must contain {{{{ question }}}} exactly once, unfiltered")
    return before, after
