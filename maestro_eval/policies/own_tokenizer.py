"""The tokenizer of the checkpoint that a policy is, as far as that can be known."""

from __future__ import annotations

import re
from pathlib import Path

from maestro_eval.policies.make import policy_checkpoint
from maestro_eval.policies.spec import EndpointSpec, InProcessSpec, read_policy
from maestro_eval.records import UserError
from maestro_eval.text import HUB, load_tokenizer

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def own_tokenizer(spec: str, model: str) -> str | None:
    """The source (``load_tokenizer``) of the policy's own tokenizer; ``None`` where it is not known.

    ``spec`` is the ``--policy`` argument and ``model`` what it resolved to. Of a checkpoint behind an endpoint the
    served name is all there is: a folder here, or a name on the hub.
    """
    policy = read_policy(spec)
    if isinstance(policy, InProcessSpec):
        checkpoint = policy_checkpoint(policy)
        revision = checkpoint.settings.get("revision")
        return checkpoint.model if checkpoint.local else f"{HUB}{checkpoint.model}{f'@{revision}' if revision else ''}"
    if not isinstance(policy, EndpointSpec):
        return None
    if (Path(model) / "tokenizer.json").is_file():
        return model
    source = f"{HUB}{model}"
    try:
        return source if _HUB_NAME.fullmatch(model) and load_tokenizer(source) else None
    except UserError:
        return None
