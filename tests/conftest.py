"""The tests' own world: a tiny tokenizer, a tiny encoder and a small library of texts. Nothing needs the network."""

import os

os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_DATASETS_DISABLE_PROGRESS_BARS="1",
    TQDM_DISABLE="1",
    TRANSFORMERS_VERBOSITY="error",
    # Several workers share the processor; one alone takes two threads of it.
    OMP_NUM_THREADS="1" if "PYTEST_XDIST_WORKER" in os.environ else "2",
)

from pathlib import Path

import pytest

from gecko_hf.corpus.passages import Passage

TOPICS = {
    "bread": ("oven", "flour", "yeast", "dough", "crust", "loaf"),
    "sailing": ("mast", "harbour", "rudder", "wind", "anchor", "sail"),
    "chess": ("knight", "bishop", "castle", "gambit", "board", "pawn"),
    "gardens": ("soil", "seed", "hedge", "compost", "bloom", "spade"),
    "clocks": ("spring", "pendulum", "dial", "gear", "chime", "minute"),
    "bridges": ("arch", "span", "cable", "river", "pier", "steel"),
    "bees": ("hive", "honey", "queen", "swarm", "nectar", "wax"),
    "glass": ("furnace", "sand", "blower", "pane", "lens", "bottle"),
}


def sentence(topic: str, i: int, j: int) -> str:
    """A sentence about a topic; different i and j give different words."""
    parts = TOPICS[topic]
    a, b, c = parts[i % 6], parts[(i + j + 1) % 6], parts[(i * 2 + j + 3) % 6]
    verbs = ("needs", "changes", "protects", "follows", "carries", "shapes", "meets")
    return f"In {topic} the {a} number {i} {verbs[(i + j) % 7]} the {b} before any {c} number {j} is ready."


def library(per_topic: int = 8) -> list[Passage]:
    """Passages of three sentences each, a few for every topic."""
    return [
        Passage(f"{topic}-{i}", f"{topic} {i}", " ".join(sentence(topic, i, j) for j in range(3)))
        for topic in TOPICS
        for i in range(per_topic)
    ]


@pytest.fixture(scope="session")
def passages() -> list[Passage]:
    return library()


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer BERT of width 32 with random weights over the words of the library, saved as a SentenceTransformer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    text = " ".join(f"{p.title} {p.text}" for p in library()) + " task query title text none search result | : ."
    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(text.lower().split()))])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config).save_pretrained(folder / "bert")
    fast.save_pretrained(folder / "bert")
    transformer = modules.Transformer(str(folder / "bert"))
    pooling = modules.Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
    model = SentenceTransformer(modules=[transformer, pooling, modules.Normalize()], device="cpu")
    model.max_seq_length = 48
    model.save_pretrained(str(folder / "model"))
    return folder / "model"


@pytest.fixture
def tiny_model(tiny_model_path: Path):
    from gecko_hf.model.encoder import load_encoder

    return load_encoder(str(tiny_model_path), 48)


@pytest.fixture(scope="session")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library as Markdown files, one a topic."""
    folder = tmp_path_factory.mktemp("library")
    for topic in TOPICS:
        chapters = [f"## Chapter {p.id}\n\n{p.text}\n" for p in library() if p.id.startswith(topic)]
        (folder / f"{topic}.md").write_text(f"# {topic.title()}\n\n" + "\n".join(chapters), encoding="utf-8")
    return folder
