"""Checkpoints of the true DeepSeek-OCR architectures without weights, tiny or at their true sizes.

vLLM fills them with noise (`load_format="dummy"`). What they show is that loading, prompt, vision,
sampling, log-probabilities and errors work, and at the true sizes what they cost; never that a page
is read. The sizes of the vision encoders, 0.4 billion weights, are not the checkpoint's but in
vLLM's code; `site/sitecustomize.py` takes layers away there. The true sizes are those of the two
published `config.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

Version = Literal["v1", "v2"]
Size = Literal["tiny", "true"]

_ROOT = Path(__file__).parents[2]
_BOS, _EOS, _PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
#: Numbered in this order. The true ones have other numbers: nothing may rely on them.
SPECIAL_TOKENS = (
    _BOS, _EOS, _PAD, "<image>", "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "<|grounding|>",
    "<td>", "</td>", "<tr>", "</tr>", "<|User|>", "<|Assistant|>",
)  # fmt: skip
#: Tokens that the tokenizer learns.
_VOCABULARY = 1024

_LANGUAGE_MODELS: dict[Size, dict[str, int]] = {
    "tiny": {
        "hidden_size": 128,
        "intermediate_size": 256,
        "moe_intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "vocab_size": _VOCABULARY,
    },
    "true": {
        "hidden_size": 1280,
        "intermediate_size": 6848,
        "moe_intermediate_size": 896,
        "num_hidden_layers": 12,
        "num_attention_heads": 10,
        "num_key_value_heads": 10,
        "n_routed_experts": 64,
        "num_experts_per_tok": 6,
        "vocab_size": 129_280,
    },
}

_ARCHITECTURES: dict[Version, tuple[str, int, int]] = {
    # Architecture, width of what the vision encoder hands over, channels of SAM's last step.
    "v1": ("DeepseekOCRForCausalLM", 2048, 1024),
    "v2": ("DeepseekOCR2ForCausalLM", 896, 896),
}


def write_checkpoint(folder: Path, version: Version, size: Size = "tiny") -> Path:
    """Write what a model's folder holds beside its weights; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {
        "tokenizer.json": _tokenizer(_LANGUAGE_MODELS[size]["vocab_size"]),
        "config.json": _config(version, size),
        "tokenizer_config.json": _tokenizer_config(),
        "special_tokens_map.json": {"bos_token": _BOS, "eos_token": _EOS, "pad_token": _PAD},
        "processor_config.json": _processor_config(),
    }.items():
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _tokenizer(size: int) -> dict[str, Any]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train([str(_ROOT / "README.md"), str(_ROOT / "docs" / "why.md")], trainer)
    written: dict[str, Any] = json.loads(tokenizer.to_str())
    known = written["model"]["vocab"]
    # Words that no merge leads to: what the model writes has a text, nothing is read as them.
    known.update({f"Ġw{number:x}": number for number in range(len(known), size)})
    return written


def _tokenizer_config() -> dict[str, Any]:
    return {
        # The hub's word; what it holds is not Llama's but byte-level (transformers#45488).
        "tokenizer_class": "LlamaTokenizerFast",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": _BOS,
        "eos_token": _EOS,
        "pad_token": _PAD,
        "model_max_length": 8192,
        "clean_up_tokenization_spaces": False,
        "legacy": True,
        "added_tokens_decoder": {
            str(number): {"content": token, "special": True, "normalized": False,
                          "lstrip": False, "rstrip": False, "single_word": False}
            for number, token in enumerate(SPECIAL_TOKENS)
        },
    }  # fmt: skip


def _processor_config() -> dict[str, Any]:
    return {
        "processor_class": "DeepseekVLV2Processor",
        "add_special_token": False,
        "candidate_resolutions": [[1024, 1024]],
        "downsample_ratio": 4,
        "ignore_id": -100,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "image_token": "<image>",
        "mask_prompt": False,
        "normalize": True,
        "pad_token": _PAD,
        "patch_size": 16,
        "sft_format": "deepseek",
    }


def _config(version: Version, size: Size) -> dict[str, Any]:
    architecture, projected, channels = _ARCHITECTURES[version]
    language = _LANGUAGE_MODELS[size] | {
        "architectures": ["DeepseekV2ForCausalLM"],
        "bos_token_id": SPECIAL_TOKENS.index(_BOS),
        "eos_token_id": SPECIAL_TOKENS.index(_EOS),
        "n_shared_experts": 2,
        "first_k_dense_replace": 1,
        "n_group": 1,
        "topk_group": 1,
        "topk_method": "greedy",
        # Neither latent nor split heads: DeepSeek-OCR has plain attention.
        "kv_lora_rank": None,
        "q_lora_rank": None,
        "qk_nope_head_dim": 0,
        "qk_rope_head_dim": 0,
        "v_head_dim": 0,
        "use_mla": False,
        "lm_head": True,
        "rm_head": False,
        "max_position_embeddings": 8192,
        "torch_dtype": "bfloat16",
    }
    return language | {
        "architectures": [architecture],
        "model_type": "deepseek_vl_v2",
        "tile_tag": "2D",
        "global_view_pos": "head",
        "candidate_resolutions": [[1024, 1024]],
        "projector_config": {
            "model_type": "mlp_projector",
            "projector_type": "linear",
            "input_dim": projected,
            "n_embed": language["hidden_size"],
        },
        "vision_config": {
            "model_type": "vision",
            "model_name": "deeplip_b_l",
            "image_size": 1024,
            "mlp_ratio": 3.7362,
            "width": {
                "clip-l-14-224": {
                    "heads": 16, "image_size": 224, "layers": 24, "patch_size": 14, "width": 1024,
                },
                "sam_vit_b": {
                    "downsample_channels": [512, channels], "global_attn_indexes": [2, 5, 8, 11],
                    "heads": 12, "layers": 12, "width": 768,
                },
            },
        },
        "language_config": language,
    }  # fmt: skip
