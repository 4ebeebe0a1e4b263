"""The orchestrator's prompt, rendered from a registry's own templates.

Templates are users' files: Jinja2 runs sandboxed, and a variable that nobody fills is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from maestro_eval.registry.records import Registry
from maestro_eval.types import Image, ImagePart, Message, Part, Regime, TextPart, UserError

_ENVIRONMENT = SandboxedEnvironment(
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
)
# Stands in for the question while the template is rendered, so that its text is known apart from the template's.
_QUESTION = "\x00question\x00"


def render_template(template: str, what: str, **variables: Any) -> str:
    """Fill a template; UserError names ``what`` it is and what is wrong with it."""
    try:
        return _ENVIRONMENT.from_string(template).render(**variables)
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"{what}: line {error.lineno}: not a valid template: {error.message}") from None
    except jinja2.TemplateError as error:
        raise UserError(f"{what}: cannot be rendered: {error.message}") from None


def render_system(registry: Registry, regime: Regime) -> str:
    """The system message: the role, what can be called and how, and how to end."""
    return render_template(
        registry.prompts.system,
        f"{registry.path}: prompt.system",
        experts=list(registry.experts.values()),
        skills=list(registry.skills.values()),
        regime=regime,
    ).strip()


def user_message(registry: Registry, question: str, images: Sequence[Image]) -> Message:
    """The first user message: the images, then the template with the question in its place."""
    what = f"{registry.path}: prompt.user"
    rendered = render_template(registry.prompts.user, what, question=_QUESTION, images=len(images)).strip()
    before, mark, after = rendered.partition(_QUESTION)
    if not mark or _QUESTION in after:
        raise UserError(f"{what}: the template must hold {{{{ question }}}} exactly once")
    texts = [TextPart(before), TextPart(question, "question"), TextPart(after)]
    parts: list[Part] = [ImagePart(image) for image in images]
    parts.extend(part for part in texts if part.text)
    return Message("user", tuple(parts))
