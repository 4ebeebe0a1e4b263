"""Messages become chat-completions JSON; replies become records or a named fault."""

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.models import ModelAsk
from maestro_eval.models.openai_codec import (
    ErrorReply,
    MalformedReplyError,
    ServedModel,
    decode_models,
    decode_reply,
    encode_ask,
    last_user_text,
)
from maestro_eval.models.server_errors import ReportedError
from maestro_eval.records import Endpoint, Image, ImagePart, ImageRef, Message, Sampling, TextPart, Usage

GREEDY = Sampling()


def wire_image(data: bytes, media_type: str = "image/png") -> Image:
    return Image(ImageRef(hashlib.sha256(data).hexdigest(), media_type, 1, 1, len(data)), data)


def part_of(image: Image) -> dict:
    return {"type": "image_url", "image_url": {"url": f"{image.ref.media_type},{image.base64.decode()}"}}


def sent(*messages: Message, sampling: Sampling = GREEDY) -> dict:
    ask = ModelAsk("expert", "a", "model-a", Endpoint("e", "http://127.0.0.1:1/v1"), messages, sampling)
    return json.loads(encode_ask(ask, part_of))


def completion(message: object, **choice: object) -> bytes:
    return json.dumps({"choices": [{"message": message, **choice}]}).encode()


@pytest.mark.parametrize(
    ("text", "as_sent"), [("cut \ud83d", "cut \ufffd"), ("\ude00\ud83d.", "\ufffd\ufffd."), ("\ud83d\ude00", "😀")]
)
def test_halves_of_surrogate_pairs_are_replaced_and_pairs_are_joined(text, as_sent):
    said = Message("user", (TextPart(text), ImagePart(wire_image(b"i")), TextPart(text)))
    body = sent(said, sampling=Sampling(stop=(text,)))
    content = body["messages"][0]["content"]
    assert [part.get("text") for part in content] == [as_sent, None, as_sent]
    assert body["stop"] == [as_sent]
    assert last_user_text((said,)) == as_sent * 2


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_a_reply_that_the_server_gave_up_is_none(reason):
    with pytest.raises(MalformedReplyError, match=reason) as caught:
        decode_reply(completion({"content": "half an ans"}, finish_reason=reason))
    assert caught.value.retry


def test_adjacent_text_of_any_origin_is_sent_as_one_plain_string():
    message = Message("user", (TextPart("What "), TextPart("is this?", "question")))
    assert sent(message)["messages"] == [{"role": "user", "content": "What is this?"}]


def test_a_message_without_parts_is_an_empty_string():
    assert sent(Message("user", ()))["messages"][0]["content"] == ""


def test_images_keep_their_place_their_type_and_their_bytes():
    parts = (TextPart("A"), TextPart("B"), ImagePart(wire_image(b"\xff\xd8pixels", "image/jpeg")), TextPart("C"))
    content = sent(Message("user", parts))["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text"]
    assert (content[0]["text"], content[2]["text"]) == ("AB", "C")
    head, data = content[1]["image_url"]["url"].split(",")
    assert head == "image/jpeg"
    assert base64.b64decode(data) == b"\xff\xd8pixels"


def test_settings_left_to_the_endpoint_are_not_sent():
    message = Message("user", (TextPart("q"),))
    assert set(sent(message, sampling=Sampling(temperature=None))) == {"model", "messages"}
    full = sent(message, sampling=Sampling(0.5, 0.9, 7, 3, ("</answer>",)))
    assert (full["temperature"], full["top_p"], full["max_tokens"], full["seed"]) == (0.5, 0.9, 7, 3)
    assert full["stop"] == ["</answer>"]
    assert "structured_outputs" not in full


def test_the_limit_of_a_reply_has_the_name_that_the_endpoint_takes():
    ask = ModelAsk("expert", "a", "m", Endpoint("e", "http://h/v1"), (), Sampling(max_tokens=7))
    body = json.loads(encode_ask(ask, part_of, "max_completion_tokens"))
    assert (body["max_completion_tokens"], "max_tokens" in body) == (7, False)


def test_a_pattern_is_sent_in_vllms_own_field():
    asked = sent(Message("user", (TextPart("q"),)), sampling=Sampling(regex="a|b"))
    assert asked["structured_outputs"] == {"regex": "a|b"}


def test_the_last_user_text_describes_the_request():
    image = wire_image(b"i")
    messages = (
        Message("user", (ImagePart(image), TextPart("first"))),
        Message("assistant", (TextPart("reply"),)),
        Message("user", (TextPart("second "), ImagePart(image), TextPart("turn"))),
    )
    assert last_user_text(messages) == "second turn"
    assert messages[2].pieces == ["second ", image, "turn"]
    assert last_user_text(()) == ""


def test_a_reply_carries_text_reason_and_tokens():
    body = json.dumps(
        {
            "choices": [{"message": {"content": "4", "reasoning_content": "2+2"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": None},
        }
    ).encode()
    reply = decode_reply(body)
    assert (reply.text, reply.finish_reason, reply.usage) == ("4", "stop", Usage(5, 2))


@pytest.mark.parametrize("usage", [None, "many", {"prompt_tokens": -1}, {"prompt_tokens": None}])
def test_unusable_token_counts_do_not_cost_the_reply(usage):
    body = json.dumps({"choices": [{"message": {"content": "4"}}], "usage": usage}).encode()
    assert decode_reply(body).text == "4"
    assert decode_reply(body).usage == Usage()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": null}',
        completion({}),
        completion({"content": 4}),
        completion({"content": [4]}),
        completion({"content": None}, finish_reason="stop"),
        b"[" * 100_000,
        b'{"usage": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_chat_completion_is_malformed_in_one_line(body):
    with pytest.raises(MalformedReplyError) as caught:
        decode_reply(body)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "body",
    [
        completion({"content": None}, finish_reason="length"),
        completion({"content": None, "reasoning_content": "hmm"}, finish_reason="stop"),
        completion({"content": None, "reasoning": "hmm"}, finish_reason="stop"),
        completion({"reasoning_content": "hmm"}, finish_reason="length"),
        completion({"tool_calls": [{"id": "1", "type": "function"}]}, finish_reason="tool_calls"),
        completion({"content": None}, finish_reason="content_filter"),
        completion({"content": []}, finish_reason="stop"),
        completion({"content": [{"type": "thinking", "thinking": "hmm"}]}),
    ],
)
def test_a_model_that_spent_itself_on_thinking_said_nothing(body):
    assert decode_reply(body).text == ""


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ([{"type": "text", "text": "a"}, {"type": "output_text", "text": "b"}], "ab", ""),
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}],
            "a",
            "hm",
        ),
        ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, {"text": "a"}], "a", "hm"),
        ([{"type": "text", "text": {"value": "a", "annotations": []}}], "a", ""),
        ({"type": "text", "text": "a"}, "a", ""),
        (["a", "b"], "ab", ""),
        ([{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "a"}], "a", ""),
    ],
)
def test_the_parts_of_a_content_are_one_text(content, text, reasoning):
    reply = decode_reply(completion({"role": "assistant", "content": content}, finish_reason="stop"))
    assert (reply.text, reply.reasoning, reply.finish_reason) == (text, reasoning, "stop")


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "refusal": "I can't help with that."},
        {"refusal": "I can't help with that."},
        {"content": [{"type": "refusal", "refusal": "I can't help with that."}]},
    ],
)
def test_a_refusal_is_an_empty_reply_that_says_so(message):
    reply = decode_reply(completion(message, finish_reason="stop"))
    assert (reply.text, reply.finish_reason) == ("", "refusal")


def test_an_error_in_the_place_of_a_reply_is_told_from_damage():
    with pytest.raises(ErrorReply) as caught:
        decode_reply(b'{"choices": null, "error": {"code": 429, "message": "slow down"}}')
    assert caught.value.reported == ReportedError("slow down", 429)
    good = completion({"content": "4"}, finish_reason="stop")
    assert decode_reply(good[:-1] + b', "error": null, "detail": "x"}').text == "4"


@given(st.binary() | st.recursive(st.none() | st.text(), lambda inner: st.lists(inner)).map(json.dumps).map(str.encode))
def test_no_body_raises_anything_else(body):
    with pytest.raises(MalformedReplyError):
        decode_reply(body)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_survives_both_ways(text):
    assert sent(Message("user", (TextPart(text),)))["messages"][0]["content"] == text
    assert decode_reply(completion({"content": text})).text == text


def test_models_are_read_by_id():
    listed = decode_models(b'{"object": "list", "data": [{"id": "a", "max_model_len": 9}, {"id": "b", "root": "x"}]}')
    assert listed == (ServedModel("a", max_model_len=9), ServedModel("b"))
    with pytest.raises(MalformedReplyError):
        decode_models(b'{"data": [{"name": "a"}]}')
