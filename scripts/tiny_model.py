"""Make a tiny Qwen3-VL with random weights: a real checkpoint of 1.3 million parameters, in seconds, without a hub.

    python scripts/tiny_model.py OUT [--seed N]

It loads wherever a Qwen3-VL loads (transformers, vLLM), accepts images and uses a chat template; its replies are
noise. Its tokenizer is byte-level, so every text has tokens; it is trained on the given texts, so that these have
few. Only the names of its special tokens are copied from a released model.

``build`` does everything, and can be imported by tests and by training.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CONTEXT = 4096

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.content is string -%}
{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'text' -%}
{{- part.text -}}
{%- else -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}"""

# Words of the protocol and of plain questions; without any text a tokenizer would contain only bytes.
PLAIN_TEXTS = (
    "system user assistant <search> </search> <answer> </answer> <information> </information> <think> </think>",
    "What does the sign in the image say? How many red circles are there? Which colour is the largest bar?",
    "Answer the question about the image. Ask an expert when you need one, then give the answer.",
    "The answer is not known: unknown expert, unknown skill; known experts and skills are these.",
    "0 1 2 3 4 5 6 7 8 9 10 20 30 40 50 60 70 80 90 100 yes no true false A B C D left right top bottom",
)


def build(
    out: Path,
    vocab_texts: Iterable[str] = (),
    seed: int = 0,
    *,
    vocab_size: int = 1024,
    hidden_size: int = 128,
    text_layers: int = 4,
    vision_hidden_size: int = 96,
    vision_layers: int = 3,
    max_pixels: int = 256 * 256,
    spread: float = 0.1,
) -> Path:
    """Write the model, its tokenizer and its processor to ``out``; the same arguments write the same weights.

    The tokenizer is trained on ``vocab_texts`` besides a few plain sentences. ``max_pixels`` bounds an image, of which
    every 32×32 pixels are one token. ``spread`` is the weights' standard deviation: with a large model's 0.02, the
    replies of so small a model hardly depend on the prompt; to train it, 0.02 is the better start.
    """
    import torch
    from transformers import Qwen3VLForConditionalGeneration

    processor = make_processor(vocab_texts, vocab_size=vocab_size, max_pixels=max_pixels)
    config = make_config(
        processor.tokenizer,
        hidden_size=hidden_size,
        text_layers=text_layers,
        vision_hidden_size=vision_hidden_size,
        vision_layers=vision_layers,
        spread=spread,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(config).eval()
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(out)
    processor.save_pretrained(out)
    return out


def make_processor(vocab_texts: Iterable[str] = (), *, vocab_size: int = 1024, max_pixels: int = 256 * 256) -> Any:
    """Return tokenizer, chat template and image processor as one ``Qwen3VLProcessor``."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    pixels = {"shortest_edge": 32 * 32, "longest_edge": max_pixels}
    patches = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2}
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=pixels, **patches, **half),
        tokenizer=make_tokenizer(vocab_texts, vocab_size),
        video_processor=Qwen3VLVideoProcessor(size=pixels, **patches, **half),
        chat_template=CHAT_TEMPLATE,
    )


def make_tokenizer(vocab_texts: Iterable[str] = (), vocab_size: int = 1024) -> Any:
    """Return a byte-level BPE tokenizer trained on ``vocab_texts``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*PLAIN_TEXTS, *vocab_texts], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[token for token in SPECIAL_TOKENS if token not in ("<|im_end|>", "<|endoftext|>")],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def make_config(
    tokenizer: Any,
    *,
    hidden_size: int,
    text_layers: int,
    vision_hidden_size: int,
    vision_layers: int,
    spread: float,
) -> Any:
    """Return the architecture: grouped heads, interleaved rotary positions and deepstack, as in large models."""
    from transformers import Qwen3VLConfig

    return Qwen3VLConfig(
        architectures=["Qwen3VLForConditionalGeneration"],
        text_config={
            # Greedy decoding could choose rows for tokens that do not exist.
            "vocab_size": len(tokenizer),
            "hidden_size": hidden_size,
            "intermediate_size": 2 * hidden_size,
            "num_hidden_layers": text_layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": CONTEXT,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "tie_word_embeddings": True,
            "initializer_range": spread,
        },
        vision_config={
            "depth": vision_layers,
            "hidden_size": vision_hidden_size,
            "intermediate_size": 2 * vision_hidden_size,
            "num_heads": 3,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": hidden_size,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": [0, 1],
            "initializer_range": spread,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=True,
        dtype="float32",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder to make")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(build(arguments.out, seed=arguments.seed))


if __name__ == "__main__":
    main()
