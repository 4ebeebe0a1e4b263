"""The orchestrator's prompt, rendered from a registry's own templates.

Templates are users' files: they run within bounds (``text/templates``), and a variable that nobody fills is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import jinja2

from maestro_eval.records import Image, ImagePart, Message, Part, Regime, TextPart, UserError
from maestro_eval.registry.records import Prompts, Registry
from maestro_eval.text.templates import render, unfilled

# Stands in for the question while the template is rendered, so that its text is known apart from the template's.
_QUESTION = "\x00question\x00"


def render_template(template: str, what: str, **variables: Any) -> str:
    """Fill a template; UserError names ``what`` it is and what is wrong with it."""
    try:
        return render(template, **variables)
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"{what}: line {error.lineno}: not a valid template: {error.message}") from None
    except Exception as error:  # what a template can do wrong has no end: 1 / 0, a filter on the wrong type, …
        reason = " ".join(str(error).split())
        raise UserError(f"{what}: cannot be rendered: {type(error).__name__}: {reason}") from None


def check_with_evidence(template: str, what: str, **variables: Any) -> None:
    """UserError unless a prompt of a skill or service can be filled, with evidence and without, in every branch.

    ``variables`` are those that it has besides the request, the question and the evidence.
    """
    piece = SimpleNamespace(service="a-service", image=1, text="what it says", picture=None)
    for evidence in ([], [piece]):
        _check(template, what, {"request": "a request", "question": "a question", "evidence": evidence, **variables})


def check_system_prompt(registry: Registry, what: str) -> None:
    """UserError unless the system message can be rendered."""
    _check(registry.prompts.system, what, _system_variables(registry, Regime()))


def check_user_prompt(registry: Registry, what: str) -> None:
    """UserError unless the user message can be rendered and shows the question once."""
    _check(registry.prompts.user, what, {"question": _QUESTION, "images": 1})
    for images in (0, 1, 2):
        _around_question(registry.prompts, what, images)


def _check(template: str, what: str, variables: Mapping[str, Any]) -> None:
    """Rendering alone would pass over a misspelt variable in a branch that is not taken."""
    render_template(template, what, **variables)
    if names := unfilled(template, variables):
        raise UserError(f"{what}: nothing fills {names[0]!r}; there are {', '.join(variables)}")


def without_placeholders(question: str, images: Sequence[Image]) -> str:
    """Return the question as a model reads it that is shown ``images``."""
    return question.replace("<image>", "") if images else question


def render_system(registry: Registry, regime: Regime) -> str:
    """Return the system message: the role, what can be called and how, and how to end."""
    variables = _system_variables(registry, regime)
    rendered = render_template(registry.prompts.system, f"{registry.path}: prompt.system", **variables)
    return rendered if registry.prompts.exact else rendered.strip()


def user_message(registry: Registry, question: str, images: Sequence[Image]) -> Message:
    """Return the first user message: the images, then the template with the question in its place.

    ``<image>`` in a question marks where its data set has a picture. A model that gets the picture does not read it.
    """
    question = without_placeholders(question, images)
    before, after = _around_question(registry.prompts, f"{registry.path}: prompt.user", len(images))
    texts = [TextPart(before), TextPart(question, "question"), TextPart(after)]
    parts: list[Part] = [ImagePart(image) for image in images]
    parts.extend(part for part in texts if part.text)
    return Message("user", tuple(parts))


def prompt_note(registry: Registry) -> str:
    """Return one line where the registry is meant to have another prompt than it has; else nothing."""
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
        raise UserError(f"{what}: the template must hold {{{{ question }}}} exactly once, unfiltered")
    return before, after
