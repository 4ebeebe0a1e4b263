"""The simulated server as one that renders messages and tells token ids, as vLLM's does."""

from __future__ import annotations

import argparse
import json
import urllib.request
from pathlib import Path

import pytest
from small_tokenizer import small_tokenizer

from maestro_eval.records import UserError
from maestro_eval.testing import simulated_in_thread
from maestro_eval.testing.command import add_arguments, run
from maestro_eval.text import load_tokenizer

TEMPLATE = "{% for message in messages %}{{ message.role }}:{{ message.content }}<|im_end|>{% endfor %}"
MESSAGES = [{"role": "user", "content": "é?"}]


def post(url, **body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.loads(response.read())


def test_it_tells_what_it_renders_and_the_ids_of_a_completion(tmp_path):
    tokenizer = load_tokenizer(str(small_tokenizer(tmp_path / "tokenizer.json")))
    with simulated_in_thread(reply="yes", chat_template=TEMPLATE, tokenizer=tokenizer) as server:
        root = server.url.removesuffix("/v1")
        tokens = post(f"{root}/tokenize", model="m", messages=MESSAGES)["tokens"]
        assert post(f"{root}/detokenize", model="m", tokens=tokens) == {"prompt": "user:é?<|im_end|>"}
        asked = {"model": "m", "messages": MESSAGES}
        told = post(f"{server.url}/chat/completions", **asked, return_token_ids=True)
        untold = post(f"{server.url}/chat/completions", **asked)
    assert told["prompt_token_ids"] == tokens
    assert tokenizer.decode(told["choices"][0]["token_ids"]) == "yes<|im_end|>"
    assert "prompt_token_ids" not in untold


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--chat-template", "t.jinja"], "--chat-template and --tokenizer go together"),
        (["--tokenizer", "t.json"], "--chat-template and --tokenizer go together"),
        (
            ["--chat-template", "nowhere.jinja", "--tokenizer", "t.json"],
            "--chat-template nowhere.jinja: cannot be read",
        ),
    ],
)
def test_a_template_and_a_tokenizer_go_together_and_are_there(tmp_path, monkeypatch, flags, says):
    monkeypatch.chdir(tmp_path)
    Path("t.jinja").write_text(TEMPLATE)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(UserError, match=says):
        run(parser.parse_args(flags))
