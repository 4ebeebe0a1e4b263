"""The rules of a rollout as one frozen record: every rule is a named field, so a manifest shows a change."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Preference = Literal["first", "first_search", "last_search", "answer"]

_Count = Annotated[int, Meta(ge=0)]
_Positive = Annotated[int, Meta(ge=1)]


class Regime(Struct, frozen=True):
    """The rules of a rollout. The values here are the ``default`` regime's; ``released`` is in ``rollout/regimes.py``.

    Turns are counted from 0 where a rule speaks of the first (0), the second (1) and later ones.

        name: of the regime; changed fields are named behind a ``+``.
        style: of the conversation: how the policy is spoken to and read (``rollout/styles``). The ``released`` style
            has its own rules for what a turn says and for what the policy sees of it.

    Turns and calls
        max_turns: generations of the policy, answers included.
        max_searches: expert calls; a further one is refused. A call in the last turn is never made, because
            no turn is left to read its reply.
        answer_at_first_turn: whether the first turn may answer; refused otherwise.

    What a turn says
        stop_at_tags: ask the endpoint to stop at our closing tags, and put the tag back that it cut off.
        thinking: what is reasoning and so does not act. ``last``: all up to the last ``</think>``, and a turn
            that ends while still thinking says nothing; ``first``: all up to the first ``</think>``, if any.
        first_turn_thinking_acts: the first turn is read from its beginning, reasoning included.
        prefer: which of several complete actions counts, by turn; the last entry holds for all later turns.
            ``first``: the first of them; ``first_search`` (``last_search``): the first (last) call, and the first
            answer if there is no call; ``answer``: the first answer, and the first call if there is no answer.

    What the policy sees of its turns
        unusable: what becomes of a turn without a complete action, or with one that is refused. ``explain``: the
            policy is shown it and told what is wrong; ``drop``: the policy sees nothing of it, its turn is spent.
        show_thinking: whether a turn is shown with its reasoning afterwards.
        first_turn_tail: tokens of the first turn's text kept before its call, ``None`` for all.
        retokenize: whether what is kept of a turn is encoded anew from its text before the model goes on, as the
            released training does; where not, the sampled ids stay. In the ``released`` style only.
        scored_tokens: how many tokens of kept turns and observations the released scorer reads.

    The policy's pictures and prompt
        image_multiple: both sides of a picture are resized to multiples of this many pixels; ``None`` leaves pictures
            as they are. Skills are given the originals.
        image_pixels: the most pixels that a picture is resized to.
        prompt_tokens: samples with a longer first prompt are counted at the end of a run; the released filter leaves
            them out.

    Names and observations
        names: how written names are matched against the registry: ``exact`` is equality or a declared alias;
            ``lenient`` also folds case and separators; ``released`` is the released code's looseness.
        list_known_names: whether a call of an unknown expert or skill is answered with the known ones.
        reply_tail_chars: characters kept of a skill's reply, from its end, before the budget below; ``None`` for
            all. Never applied to the ``code`` pipeline: a program without its beginning is none.
        observation_tokens: an observation's budget in tokens.
        observation_keep: what survives beyond the budget, ``ends`` (both) or ``tail``.
        mark_cuts: whether a cut observation says where, and how much is left out.
        neutralise: write our tags and chat control tokens inside observations so that they cannot act. (The action
            parser never reads observations; this is about what the policy's model makes of them.)
        tokenizer: ``estimate`` (4 characters a token); the path of a ``tokenizer.json``, of a ``qwen.tiktoken`` or
            of a checkpoint's folder; or ``policy``, the policy's own.
        zoom_rescale: whether a zoom box is scaled from the model's resized image back to the original.

    Faults and time
        on_expert_failure: ``fail`` ends the rollout as failed; ``observe`` tells the policy instead.
        rollout_deadline_s: wall time in seconds after which a rollout fails with cause ``deadline``.

    Sampling of the policy, where the user gives none (``None`` leaves it to the endpoint)
        temperature, top_p: as in the chat-completions API.
        max_tokens: of each turn.
        top_k, repetition_penalty: as vLLM has them; -1 and 1 turn off what a checkpoint's own settings would do.
    """

    name: str = "default"
    style: Literal["chat", "released"] = "chat"

    max_turns: _Positive = 5
    max_searches: _Count = 4
    answer_at_first_turn: bool = True

    stop_at_tags: bool = True
    thinking: Literal["last", "first"] = "last"
    first_turn_thinking_acts: bool = False
    prefer: Annotated[tuple[Preference, ...], Meta(min_length=1)] = ("first",)

    unusable: Literal["explain", "drop"] = "explain"
    show_thinking: bool = True
    first_turn_tail: _Count | None = None
    retokenize: bool = False
    scored_tokens: _Count = 4096

    image_multiple: _Positive | None = None
    image_pixels: _Positive | None = None
    prompt_tokens: _Positive | None = None

    names: Literal["exact", "lenient", "released"] = "lenient"
    list_known_names: bool = True
    reply_tail_chars: _Positive | None = None
    observation_tokens: _Count = 2048
    observation_keep: Literal["ends", "tail"] = "ends"
    mark_cuts: bool = True
    neutralise: bool = True
    tokenizer: str = "estimate"
    zoom_rescale: bool = True

    on_expert_failure: Literal["fail", "observe"] = "fail"
    rollout_deadline_s: Annotated[float, Meta(gt=0, le=1e6)] = 900.0

    temperature: Annotated[float, Meta(ge=0)] | None = 0.0
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    max_tokens: _Positive | None = None
    top_k: Annotated[int, Meta(ge=-1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0)] | None = None
