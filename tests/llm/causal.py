"""A tiny causal language model with random weights, and what it says by an independent computation in 64 bit."""

from pathlib import Path

import yaml

TEXTS = [
    f"In {topic} the {a} number {i} {verb} the {b} before any {c} is ready. Nobody asks why the {b} comes first."
    for i, (topic, a, b, c) in enumerate(
        [
            ("bread", "oven", "flour", "dough"),
            ("sailing", "mast", "harbour", "rudder"),
            ("chess", "knight", "bishop", "gambit"),
            ("gardens", "soil", "seed", "compost"),
            ("clocks", "spring", "pendulum", "dial"),
        ]
    )
    for verb in ("needs", "changes", "protects", "follows")
]
MULTI_BYTE = (
    "Zürich grüßt: naïve cafés, 東京の寿司, Здравствуй, мир! 🐍🧪 costs 3 € — “quoted”.",
    "한국어 문장과 عربى together with ꙮ and 🏳️‍🌈 in one line.",
)


def save_causal_model(folder: Path, *, seed: int = 0, newline: float = 1.0) -> Path:
    """A Llama of two layers with a byte-level BPE of 600 tokens, BOS in front, saved as any checkpoint is.

    `newline` multiplies the weights of the line break: at 6 the random model ends many of its lines.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = TEXTS + ["Task: find it\nQuery: what is it?\nPassage: Relevance: Not Relevant"] * 20
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=600,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.2,  # far from uniform, so that a misplaced token shows
        bos_token_id=0,
        eos_token_id=1,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[tokenizer.token_to_id("Ċ")] *= newline
    model.save_pretrained(folder)
    return folder


class Reference:
    """Log-probabilities in 64 bit, one text at a time, unpadded: shares no code with the backends."""

    def __init__(self, path: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.torch = torch
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64).eval()

    def logprobs(self, prefix: str, continuation: str) -> list[float]:
        """log p of each token of the continuation."""
        known = self.tokenizer(prefix)["input_ids"]
        ids = self.tokenizer(prefix + continuation)["input_ids"]
        assert ids[: len(known)] == known
        with self.torch.no_grad():
            table = self.model(self.torch.tensor([ids])).logits[0].log_softmax(-1)
        return [float(table[i - 1, ids[i]]) for i in range(len(known), len(ids))]


def pairs(count: int) -> list[tuple[str, str]]:
    """(prefix, continuation) of many lengths; every fourth holds characters of several bytes on both sides."""
    out = []
    for i in range(count):
        passage, query = TEXTS[i % len(TEXTS)], TEXTS[(7 * i + 3) % len(TEXTS)][: 20 + 5 * (i % 9)].rstrip()
        if i % 4 == 0:
            passage, query = MULTI_BYTE[i // 4 % 2] + " " + passage[: 30 * (i % 5)], MULTI_BYTE[(i // 4 + 1) % 2]
        out.append((f"Passage: {passage}\nQuery:", f" {query}"))
    return out


def write_prompts(folder: Path) -> Path:
    """Few-shot prompts of one short example each, which a tiny model reads quickly."""
    example = {"text": "t", "query": "q", "task": "Given x, find y", "label": "Highly Relevant"}
    folder.mkdir(exist_ok=True)
    for name in ("p_qg", "p_ql", "p_rc"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"instruction": "Do.", "examples": [example]}))
    return folder
