"""A byte-level tokenizer of a few hundred tokens, with the control tokens that the released style writes."""

from __future__ import annotations

from pathlib import Path


def small_tokenizer(path: Path) -> Path:
    """Write it as a ``tokenizer.json``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|image_pad|>", "<|vision_end|>"])
    tokenizer.save(str(path))
    return path
