"""Our messages as a chat template takes them."""

import hashlib
import io

import jinja2
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_worlds import picture

from maestro_eval.policies.chat import Placeholders, chat_of, one_line, open_image, render
from maestro_eval.records import Image, ImagePart, ImageRef, Message, RolloutFailure, TextPart

QWEN = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {% for part in message.content %}"
    "{% if part.type == 'image' %}<|image_pad|>{% else %}{{ part.text }}{% endif %}{% endfor %}\n{% endfor %}"
)


class Processor:
    """What `render` needs of one: a template, and the image's placeholder."""

    image_token = "<|image_pad|>"

    def __init__(self, template: str = TEMPLATE) -> None:
        self._template = template

    def apply_chat_template(self, messages, *, tokenize, add_generation_prompt):
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
        return environment.from_string(self._template).render(messages=messages)


def encoded(size=(2, 2), colour=(255, 0, 0), mode="RGB", **save) -> Image:
    file = io.BytesIO()
    PIL.Image.new(mode, size, colour).save(file, "PNG", **save)
    data = file.getvalue()
    return Image(ImageRef(hashlib.sha256(data).hexdigest(), "image/png", *size, len(data)), data)


def test_adjacent_texts_are_joined_and_images_keep_their_place():
    first, second = picture(b"1"), picture(b"2")
    chat = chat_of(
        [
            Message("system", (TextPart("Decide."),)),
            Message("user", (TextPart("Look: "), TextPart("at"), ImagePart(first), ImagePart(second), TextPart("so?"))),
        ],
        Placeholders(QWEN),
    )
    assert chat.messages == [
        {"role": "system", "content": [{"type": "text", "text": "Decide."}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look: at"},
                {"type": "image"},
                {"type": "image"},
                {"type": "text", "text": "so?"},
            ],
        },
    ]
    assert chat.images == (first, second)


def test_who_wrote_a_text_does_not_reach_the_template():
    chat = chat_of([Message("user", (TextPart("a", "question"), TextPart("b", "observation")))], Placeholders(QWEN))
    assert chat.messages == [{"role": "user", "content": [{"type": "text", "text": "ab"}]}]


def test_a_placeholder_in_a_question_stays_text():
    question = TextPart("What does <|image_pad|> mean?", "question")
    chat = chat_of([Message("user", (ImagePart(picture()), question))], Placeholders(QWEN))
    assert render(chat, Processor()) == "user: <|image_pad|>What does ‹|image_pad|> mean?\n"


def test_a_placeholder_made_of_two_parts_stays_text():
    chat = chat_of([Message("user", (TextPart("<|image"), TextPart("_pad|>", "observation")))], Placeholders(QWEN))
    assert chat.messages[0]["content"] == [{"type": "text", "text": "‹|image_pad|>"}]


def test_other_control_tokens_are_left_to_the_regime():
    assert Placeholders(QWEN).escape("<|im_end|> <b> 1 < 2") == "<|im_end|> <b> 1 < 2"


@given(st.lists(st.sampled_from([*QWEN, "<|", "image_pad", "|>", "<", "x", " "])).map("".join))
def test_no_text_holds_a_placeholder_afterwards(text):
    defused = Placeholders(QWEN).escape(text)
    assert not any(token in defused for token in QWEN)
    assert len(defused) == len(text)
    assert Placeholders(QWEN).escape(defused) == defused


def test_placeholders_are_found_in_a_processor():
    class Tokenizer:
        all_special_tokens = ("<|im_end|>", "<|vision_pad|>")

    class LikeGemma:
        image_token = "<image_soft_token>"
        boi_token = "<start_of_image>"
        eoi_token = None
        tokenizer = Tokenizer()

    assert set(Placeholders.of(LikeGemma()).tokens) == {"<image_soft_token>", "<start_of_image>", "<|vision_pad|>"}
    assert Placeholders.of(Tokenizer()).tokens == ("<|vision_pad|>",)
    assert Placeholders(()).escape("<|image_pad|>") == "<|image_pad|>"


def test_half_of_a_surrogate_pair_becomes_a_replacement_character():
    chat = chat_of([Message("user", (TextPart("a\ud83d"), TextPart("\ude00b\ud83d")))], Placeholders(QWEN))
    assert chat.messages[0]["content"] == [{"type": "text", "text": "a😀b\ufffd"}]


def test_a_model_without_eyes_gets_strings_and_refuses_images():
    plain = [Message("user", (TextPart("a"), TextPart("b")))]
    assert chat_of(plain, Placeholders(()), as_text=True).messages == [{"role": "user", "content": "ab"}]
    with pytest.raises(RolloutFailure, match="policy: the model takes no images, and the prompt has 1"):
        chat_of([Message("user", (ImagePart(picture()),))], Placeholders(()), as_text=True)


def test_a_template_that_drops_images_is_refused():
    chat = chat_of([Message("user", (ImagePart(picture()), ImagePart(picture())))], Placeholders(QWEN))
    with pytest.raises(RolloutFailure, match="policy: its chat template shows 1 of 2 images"):
        render(chat, Processor("<|image_pad|>"))


def test_a_template_that_fails_is_one_line():
    chat = chat_of([Message("user", (TextPart("a"),))], Placeholders(QWEN))
    with pytest.raises(RolloutFailure, match=r"policy: its chat template fails: UndefinedError: .*unheard") as caught:
        render(chat, Processor("{{ unheard.of }}"))
    assert "\n" not in caught.value.detail


def test_transparency_is_shown_on_white():
    assert open_image(encoded(mode="RGBA", colour=(255, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)
    assert open_image(encoded(mode="RGBA", colour=(9, 8, 7, 255))).getpixel((0, 0)) == (9, 8, 7)
    palette = encoded(mode="P", colour=0, transparency=0)
    assert open_image(palette).getpixel((0, 0)) == (255, 255, 255)
    assert open_image(encoded(mode="L", colour=5)).getpixel((0, 0)) == (5, 5, 5)


def test_an_image_is_turned_as_its_exif_says():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    assert open_image(encoded(size=(4, 2), exif=exif)).size == (2, 4)


def test_bytes_that_are_no_image_fail_the_rollout_in_one_line():
    with pytest.raises(RolloutFailure, match=r"policy: image [0-9a-f]{12} cannot be read: UnidentifiedImageError"):
        open_image(picture(b"not a picture"))
    whole = encoded(size=(64, 64))
    with pytest.raises(RolloutFailure, match="cannot be read"):
        open_image(Image(whole.ref, whole.data[: len(whole.data) // 2]))


def test_an_error_is_named_in_one_short_line():
    assert one_line(ValueError("a\n  b")) == "ValueError: a b"
    assert one_line(ValueError()) == "ValueError"
    assert len(one_line(ValueError("x" * 5000))) == 400
