"""The released stream over HTTP: what the policy's server renders is asked for before the first rollout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from integration.conftest import write_chartqa, write_registry
from small_tokenizer import small_tokenizer

from maestro_eval.journal import Journal
from maestro_eval.records import Answered, Rollout, RunManifest, UserError
from maestro_eval.rollout import STREAM_TEMPLATE, choose_regime, render_stream
from maestro_eval.runtime import RunConfig, Watcher, start_run
from maestro_eval.testing import simulated_in_thread
from maestro_eval.text import load_tokenizer

ASK = "I look.\n<search>oracle@@Ask: What is it?</search>"
# What a Qwen chat template makes of the same messages: a header and a thought before each turn.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n<think>\n' }}"
)
NEWLINE_TEMPLATE = STREAM_TEMPLATE.read_text().replace("'<|im_start|>user'", "'<|im_start|>user\\n'")
assert STREAM_TEMPLATE.read_text() != NEWLINE_TEMPLATE


def say(body):
    """A policy that asks twice and then answers."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    return (ASK, f"Hm.</think>\n{ASK.partition(chr(10))[2]}", "So.</think>\n<answer>4</answer>")[turn]


class Heard(Watcher):
    def __init__(self):
        self.lines = []

    def warn(self, line):
        self.lines.append(line)


@pytest.fixture
def play(tmp_path):
    """Run one sample with a policy behind a server with ``template``, under ``regime``."""
    tokenizer = small_tokenizer(tmp_path / "tokenizer.json")

    @contextmanager
    def servers(template: str) -> Iterator[tuple[str, str, list]]:
        bodies = []

        def reply(body):
            bodies.append(body)
            return say(body)

        settings = {"chat_template": template, "tokenizer": load_tokenizer(str(tokenizer))} if template else {}
        with (
            simulated_in_thread(reply="It says 4.") as experts,
            simulated_in_thread(reply=reply, models=["m"], **settings) as policy,
        ):
            yield experts.url, policy.url, bodies

    def run(template: str, regime: str = "released") -> tuple[RunManifest, Rollout, list, list[str]]:
        heard = Heard()
        counts = [f"tokenizer={tokenizer}"] if regime == "released" else []
        with servers(template) as (experts, policy, bodies):
            request = RunConfig(
                policy=f"openai:{policy}",
                registry=str(write_registry(tmp_path / "r.yaml", experts)),
                tasks=("maestro_chartqa",),
                data={"maestro_chartqa": str(write_chartqa(tmp_path / "d", [{"question": "?", "answer": "4"}]))},
                regime=choose_regime(regime, counts),
            )
            start_run(request, tmp_path / "run", watcher=heard)
        with Journal.open(tmp_path / "run", read_only=True) as journal:
            ((rollout, _),) = journal.rollouts()
            return journal.manifest, rollout, bodies, heard.lines

    return run


def test_a_server_with_the_streams_template_is_fed_the_stream(play, tmp_path):
    manifest, rollout, bodies, heard = play(STREAM_TEMPLATE.read_text())
    assert (manifest.rendering, heard) == ("checked", [])
    assert (rollout.outcome, rollout.stop_reason) == (Answered("4"), "final_answer_generated")
    told = "<|im_end|><|im_start|>user<information>It says 4.</information><|im_end|>"
    call = ASK.partition("\n")[2]
    first, _, third = (render_stream(body["messages"]) for body in bodies)
    assert third == f"{first}{ASK}{told}{call}{told}"
    assert first.endswith("<|im_start|>assistant\n<think>\n")
    assert rollout.scored_text == f"{ASK}{told}{call}{told}<answer>4</answer>".replace("<|im_start|>", "").replace(
        "<|im_end|>", ""
    )


def test_the_record_keeps_what_each_turns_model_read(play):
    _, rollout, bodies, _ = play(STREAM_TEMPLATE.read_text())
    read = [turn.prompt for turn in rollout.turns]
    assert [prompt.as_streamed for prompt in read] == [None, True, True]
    assert [prompt.tokens for prompt in read] == sorted(prompt.tokens for prompt in read)
    assert len({prompt.hash for prompt in read}) == 3
    assert all(body["return_token_ids"] for body in bodies)
    assert all((body["top_k"], body["repetition_penalty"]) == (-1, 1.0) for body in bodies)


def test_a_thought_that_is_cut_away_is_in_no_later_prompt(play):
    _, _, bodies, _ = play(STREAM_TEMPLATE.read_text())
    assert "Hm." not in render_stream(bodies[2]["messages"])


@pytest.mark.parametrize(
    ("template", "turn"), [(CHAT_TEMPLATE, 1), (NEWLINE_TEMPLATE, 1), ("{{ messages[0].content }}", 0)]
)
def test_a_server_that_renders_otherwise_is_refused_before_the_first_rollout(play, tmp_path, template, turn):
    with pytest.raises(UserError) as caught:
        play(template)
    said = f"the policy's server renders turn {turn} differently from the checkpoint's training: start it with"
    assert said in str(caught.value)
    assert f"--chat-template {STREAM_TEMPLATE} --generation-config vllm" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_of_a_server_that_does_not_say_it_cannot_be_known(play):
    manifest, rollout, bodies, heard = play("")
    assert manifest.rendering == "unknown"
    assert any("cannot be known" in line for line in heard)
    assert rollout.turns[0].prompt is None
    assert "return_token_ids" not in bodies[0]


def test_a_run_in_chat_turns_refuses_a_server_of_the_stream(play):
    with pytest.raises(UserError, match="renders the released stream, and the regime 'default' uses chat turns"):
        play(STREAM_TEMPLATE.read_text(), "default")


def test_a_run_in_chat_turns_asks_nothing_of_other_servers(play):
    manifest, *_ = play(CHAT_TEMPLATE, "default")
    assert manifest.rendering == ""
