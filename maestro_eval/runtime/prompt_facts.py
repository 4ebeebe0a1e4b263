"""What the records of a run say of the prompts that its policy read."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from maestro_eval.journal import Journal
from maestro_eval.rollout import RELEASED


class PromptFacts(Struct, frozen=True):
    """``overlong`` of ``samples`` have a first prompt longer than ``limit`` tokens, as the engine counted it.

    ``later`` counts prompts behind the first turn whose ids the engine reported, ``encoded_anew`` those of them that
    end with other ids than the stream has: a server encodes the text, and it may not encode back.
    """

    limit: int
    samples: int
    overlong: int
    later: int
    encoded_anew: int


def prompt_facts(folder: Path) -> PromptFacts:
    """The facts of a run folder; its regime's limit is counted against, or else the released one."""
    samples: set[tuple[str, str]] = set()
    overlong: set[tuple[str, str]] = set()
    later = encoded_anew = 0
    with Journal.open(folder, read_only=True) as journal:
        limit = journal.manifest.regime.prompt_tokens or RELEASED.prompt_tokens or 0
        for rollout, _ in journal.rollouts():
            sample = rollout.key.task, rollout.key.sample_id
            samples.add(sample)
            if rollout.turns and rollout.turns[0].usage.prompt_tokens > limit:
                overlong.add(sample)
            known = [turn.prompt.as_streamed for turn in rollout.turns if turn.prompt is not None]
            later += sum(one is not None for one in known)
            encoded_anew += sum(one is False for one in known)
    return PromptFacts(limit, len(samples), len(overlong), later, encoded_anew)


def prompt_lines(facts: PromptFacts) -> list[str]:
    """The facts for the terminal; none where there is nothing to report."""
    said = []
    if facts.overlong:
        said.append(
            f"prompts  {facts.overlong:,} of {facts.samples:,} samples have prompts over {facts.limit:,} tokens: the "
            "released filter leaves them out"
        )
    if facts.later:
        said.append(
            f"stream   {facts.encoded_anew:,} of {facts.later:,} later prompts were encoded otherwise than their turns "
            "were sampled"
        )
    return said
