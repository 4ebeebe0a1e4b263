"""Makes the untrained policy: a tiny Qwen3-VL, with a tokenizer that can copy any text piece by piece."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scripts.tiny_model import CHAT_TEMPLATE, CONTEXT, SPECIAL_TOKENS, make_config

VOCABULARY = 1536
# A picture is four tokens or fewer. Nothing is learnt from it, but it is where a large model's pictures are.
PIXELS = 64 * 64
# A token never crosses the end of a tag, name (with hyphens and underscores), digit, punctuation or white space.
_PIECES = r" ?</?[a-z]+>| ?[A-Za-z][A-Za-z_-]*| ?\d|@@| ?[^\sA-Za-z\d<]+| ?<|\s+"


def make_processor(texts: Iterable[str]) -> Any:
    """Return tokenizer, chat template and image processor."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    pixels = {"shortest_edge": PIXELS, "longest_edge": PIXELS}
    patches = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2}
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=pixels, **patches, **half),
        tokenizer=_tokenizer(texts),
        video_processor=Qwen3VLVideoProcessor(size=pixels, **patches, **half),
        chat_template=CHAT_TEMPLATE,
    )


def make_model(processor: Any, seed: int) -> Any:
    """Return a model with about two million random weights."""
    import torch
    from transformers import Qwen3VLForConditionalGeneration

    config = make_config(
        processor.tokenizer, hidden_size=192, text_layers=4, vision_hidden_size=96, vision_layers=2, spread=0.02
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    return model


def _tokenizer(texts: Iterable[str]) -> Any:
    """Return a byte-level tokenizer, which writes any text. A digit is a token; so are a tag and a frequent name."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[token for token in SPECIAL_TOKENS if token not in ("<|im_end|>", "<|endoftext|>")],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
