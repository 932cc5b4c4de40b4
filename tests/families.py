"""Tiny bare checkpoints with random weights, one of each family that an encoder can be built from.

A test file that wants the fixture imports it by name.
"""

from pathlib import Path

import pytest
import torch
import transformers

FAMILIES = {
    "bert": lambda size: transformers.BertModel(
        transformers.BertConfig(
            vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
        )
    ),
    "modernbert": lambda size: transformers.ModernBertModel(
        transformers.ModernBertConfig(
            vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3, local_attention=8,
        )
    ),
    "eurobert": lambda size: transformers.EuroBertModel(
        transformers.EuroBertConfig(
            vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            pad_token_id=0, bos_token_id=2, eos_token_id=3, mask_token_id=1,
        )
    ),
    "t5": lambda size: transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=size, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, is_encoder_decoder=False,
            use_cache=False,
        )
    ),
    "decoder": lambda size: transformers.LlamaModel(
        transformers.LlamaConfig(
            vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            pad_token_id=0, bos_token_id=2, eos_token_id=3,
        )
    ),
}  # fmt: skip


@pytest.fixture(scope="session")
def bare_checkpoint(tmp_path_factory, tiny_model_path):
    """Writes a bare checkpoint of a family, in bfloat16, and returns its folder."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model_path)
    made: dict[str, Path] = {}

    def make(family: str) -> str:
        if family not in made:
            made[family] = tmp_path_factory.mktemp(family)
            torch.manual_seed(0)
            FAMILIES[family](len(tokenizer)).to(torch.bfloat16).save_pretrained(made[family])
            tokenizer.save_pretrained(made[family])
        return str(made[family])

    return make
