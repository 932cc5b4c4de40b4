"""A tiny causal model as a GGUF file, as llama.cpp reads it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(checkpoint: Path, folder: Path, *, packed: bool = False) -> Path:
    """A saved Llama with a byte-level BPE tokenizer as a GGUF file.

    Args:
        checkpoint: The folder of the saved model.
        folder: Where the file goes.
        packed: Whether matrices are numbers of eight bits in blocks (Q8_0) and not 32-bit floats.
    """
    import gguf

    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    out = folder / "tiny-llama.gguf"
    writer = gguf.GGUFWriter(str(out), "llama")
    for name, value in {**gguf_shape(config), **gguf_tokenizer(checkpoint, config)}.items():
        getattr(writer, f"add_{name}")(value)
    for name, tensor in gguf_tensors(checkpoint, config).items():
        if packed and tensor.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def gguf_shape(config: dict[str, Any]) -> dict[str, Any]:
    """What GGUF says of a Llama's shape, under the names of its writer's methods."""
    return {
        "context_length": config["max_position_embeddings"],
        "vocab_size": config["vocab_size"],
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "head_count": config["num_attention_heads"],
        "head_count_kv": config["num_key_value_heads"],
        "layer_norm_rms_eps": config["rms_norm_eps"],
        "rope_dimension_count": config["head_dim"],
        "rope_freq_base": config["rope_parameters"]["rope_theta"],
    }


def gguf_tokenizer(checkpoint: Path, config: dict[str, Any]) -> dict[str, Any]:
    """What GGUF says of a tokenizer: each row of the embedding has a token, those that the tokenizer lacks an unused one."""
    saved = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))
    normal, control, unused = 1, 3, 5  # GGUF's types of tokens
    tokens = [f"[unused {i}]" for i in range(config["vocab_size"])]
    types = [unused] * len(tokens)
    for token, i in saved["model"]["vocab"].items():
        tokens[i], types[i] = token, normal
    for special in saved["added_tokens"]:
        types[special["id"]] = control
    return {
        "tokenizer_model": "gpt2",  # GGUF's word for a byte-level BPE
        "tokenizer_pre": "gpt-2",  # whose text is cut into words as GPT-2's is
        "token_list": tokens,
        "token_types": types,
        "token_merges": [" ".join(merge) for merge in saved["model"]["merges"]],
        "bos_token_id": config["bos_token_id"],
        "eos_token_id": config["eos_token_id"],
        "add_bos_token": True,
    }


def gguf_tensors(checkpoint: Path, config: dict[str, Any]) -> dict[str, np.ndarray]:
    """The weights under GGUF's names.

    RoPE turns pairs of a head's rows: transformers pairs a row with the one half a head further, GGUF with its neighbour.
    """
    from safetensors.numpy import load_file

    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    out = {}
    for name, tensor in load_file(checkpoint / "model.safetensors").items():
        for ours, theirs in GGUF_NAMES.items():
            name = name.replace(f"{ours}.", f"{theirs}.")
        for part, count in heads.items():
            if part in name:
                tensor = tensor.reshape(count, 2, -1, tensor.shape[-1]).swapaxes(1, 2).reshape(tensor.shape)
        out[name] = np.ascontiguousarray(tensor, dtype=np.float32)
    return out
