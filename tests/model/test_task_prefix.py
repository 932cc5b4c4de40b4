"""TaskPrefix: a task in words, documents with titles, and the same vectors as the stock model on every route."""

import json

import datasets
import numpy as np
import pytest
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from mteb.types import PromptType
from sentence_transformers import SentenceTransformer
from torch.utils.data import DataLoader

import gecko_hf
from gecko_hf.errors import InputError
from gecko_hf.model.encoder import load_encoder, save_encoder
from gecko_hf.model.task_prefix import Gecko, stock, with_tasks
from gecko_hf.prompts import MTEB_TASK_TYPES, format_document, format_query, model_prompts

TEXTS = ["the knight protects the pawn", "oven", "a hive of honey and wax before the queen"]
DIMS = [None, 16, 8]


@pytest.fixture(scope="module")
def saved(tiny_model_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_encoder(load_encoder(str(tiny_model_path), 48), folder)
    return str(folder)


@pytest.fixture(scope="module")
def gecko(saved):
    return gecko_hf.load(saved, device="cpu")


@pytest.fixture(scope="module")
def plain(saved):
    return SentenceTransformer(saved, device="cpu")


def through_mteb(wrapper: SentenceTransformerEncoderWrapper, task_type: str, side: PromptType) -> np.ndarray:
    """Vectors that mteb's own wrapper makes for a task of a type."""
    metadata = TaskMetadata.model_construct(name="Any", type=task_type, modalities=["text"])
    batches = DataLoader(datasets.Dataset.from_dict({"text": TEXTS}), batch_size=8)
    return wrapper.encode(batches, task_metadata=metadata, hf_split="test", hf_subset="default", prompt_type=side)


@pytest.mark.parametrize("dim", DIMS)
def test_four_routes_to_a_vector_are_bit_equal_for_every_task_type(gecko, plain, saved, dim):
    wrapper = SentenceTransformerEncoderWrapper(saved, device="cpu", embed_dim=dim)
    for task_type, (task, symmetric) in MTEB_TASK_TYPES.items():
        name = task_type if symmetric else f"{task_type}-query"
        by_task = gecko.encode(TEXTS, task=task, truncate_dim=dim)
        assert by_task.shape == (3, dim or 32)
        np.testing.assert_array_equal(by_task, plain.encode(TEXTS, prompt_name=name, truncate_dim=dim))
        by_hand = plain.encode([format_query(task, t) for t in TEXTS], truncate_dim=dim)
        np.testing.assert_array_equal(by_task, by_hand)
        np.testing.assert_array_equal(by_task, through_mteb(wrapper, task_type, PromptType.query))
    document = gecko.encode_document(TEXTS, truncate_dim=dim)
    np.testing.assert_array_equal(document, plain.encode(TEXTS, prompt_name="Retrieval-document", truncate_dim=dim))
    np.testing.assert_array_equal(document, plain.encode([format_document(t) for t in TEXTS], truncate_dim=dim))
    np.testing.assert_array_equal(document, through_mteb(wrapper, "Retrieval", PromptType.document))


def test_any_free_text_is_a_task(gecko, plain):
    task = "Given a query, find a passage that allows you to check whether the query is true or not"
    np.testing.assert_array_equal(gecko.encode(TEXTS, task=task), plain.encode(TEXTS, prompt=f"task: {task} | query: "))


def test_encode_query_and_document_are_those_of_the_stock_model(gecko, plain):
    np.testing.assert_array_equal(gecko.encode_query(TEXTS), plain.encode_query(TEXTS))
    np.testing.assert_array_equal(gecko.encode_document(TEXTS), plain.encode_document(TEXTS))
    np.testing.assert_array_equal(gecko.encode(TEXTS), plain.encode(TEXTS))
    np.testing.assert_array_equal(gecko.encode_query(TEXTS, task="clustering"), gecko.encode(TEXTS, task="clustering"))
    np.testing.assert_array_equal(gecko.encode(TEXTS, task="query"), plain.encode_query(TEXTS))
    np.testing.assert_array_equal(gecko.encode(TEXTS, task="document"), plain.encode_document(TEXTS))


def test_a_document_is_read_alike_for_every_task(gecko):
    with pytest.raises(InputError, match="Documents are read alike for every task, and task='fact checking' is given"):
        gecko.encode_document(TEXTS, task="fact checking")


def test_a_document_may_bring_its_title(gecko, plain):
    documents = [{"title": "Chess", "text": TEXTS[0]}, TEXTS[1], {"text": TEXTS[2]}]
    texts = [format_document(TEXTS[0], "Chess"), format_document(TEXTS[1]), format_document(TEXTS[2])]
    expected = plain.encode(texts)
    np.testing.assert_array_equal(gecko.encode_document(documents), expected)
    np.testing.assert_array_equal(gecko.encode(documents, prompt_name="Retrieval-document"), expected)
    np.testing.assert_array_equal(gecko.encode(documents[:1]), gecko.encode_document(documents[:1]))


def test_one_text_gives_one_vector_and_none_gives_none(gecko):
    assert gecko.encode(TEXTS[0], task="clustering").shape == (32,)
    assert gecko.encode_document({"title": "Chess", "text": TEXTS[0]}).shape == (32,)
    assert len(gecko.encode([], task="clustering")) == 0


@pytest.mark.parametrize(
    ("inputs", "options", "says"),
    [
        (TEXTS, {"task": " "}, "task is ' '; give a task in words"),
        (TEXTS, {"task": 3}, "task is 3; give a task in words"),
        (TEXTS, {"task": "STS"}, "use prompt_name='STS'"),
        (TEXTS, {"task": "a | query: b"}, "no '|' and no line break"),
        (TEXTS, {"task": "clustering", "prompt": "x: "}, "Both task='clustering' and prompt='x: '"),
        (TEXTS, {"task": "clustering", "prompt_name": "STS"}, "Both task='clustering' and prompt="),
        ([3], {"task": "clustering"}, "Input 0 is a int (3)"),
        (["oven", None], {}, "Input 1 is a NoneType"),
        ([("oven", "bread")], {}, "Input 0 is a tuple"),
        ([{"title": "Chess"}], {}, r"a document with the keys ['title']"),
        ([{"title": None, "text": "x"}], {}, "with two strings"),
        ([{"title": "Chess", "text": "x"}], {"task": "clustering"}, "task='clustering' is for queries"),
        ([{"title": "Chess", "text": "x"}], {"prompt_name": "STS"}, "is for queries"),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_what_to_do(gecko, inputs, options, says):
    with pytest.raises(InputError, match=__import__("re").escape(says)):
        gecko.encode(inputs, **options)


def test_an_unknown_prompt_name_lists_the_known_ones(gecko):
    with pytest.raises(ValueError, match=r"'Retrieval' not found .*Retrieval-query"):
        gecko.encode(TEXTS, prompt_name="Retrieval")


def test_saving_the_view_saves_stock_modules_and_prompts(gecko, plain, tmp_path):
    gecko.save_pretrained(str(tmp_path / "again"), create_model_card=False)
    types = [m["type"] for m in json.loads((tmp_path / "again" / "modules.json").read_text())]
    assert all(t.startswith("sentence_transformers.") for t in types)
    again = SentenceTransformer(str(tmp_path / "again"), device="cpu")
    assert again.prompts == model_prompts()
    np.testing.assert_array_equal(again.encode_query(TEXTS), plain.encode_query(TEXTS))


def test_view_and_model_share_their_weights(saved):
    plain = SentenceTransformer(saved, device="cpu")
    view = with_tasks(plain)
    assert isinstance(view, Gecko)
    assert type(plain[0]) is type(stock(view)[0])
    plain[0].model.embeddings.word_embeddings.weight.data.mul_(2)
    np.testing.assert_array_equal(view.encode_query(TEXTS), plain.encode_query(TEXTS))
    assert view.state_dict().keys() == plain.state_dict().keys()


def test_a_model_without_a_transformer_is_refused():
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models

    static = SentenceTransformer(modules=[StaticEmbedding(Tokenizer(models.WordLevel({"a": 0}, "a")), embedding_dim=4)])
    with pytest.raises(InputError, match="begins with a StaticEmbedding"):
        with_tasks(static)


def test_a_model_of_another_prompt_format_is_refused(tiny_model_path, tmp_path):
    save_encoder(load_encoder(str(tiny_model_path), 48), tmp_path / "m", model_prompts("sentence"))
    assert SentenceTransformer(str(tmp_path / "m")).prompts["query"].startswith("The task is search result")
    with pytest.raises(InputError, match=r"format 'sentence'.*encode\(texts, prompt_name=...\)"):
        gecko_hf.load(str(tmp_path / "m"))


def test_another_process_gives_the_same_vectors(gecko):
    documents = [{"title": "Chess", "text": t} for t in TEXTS]
    alone = gecko.encode_document(documents, batch_size=1)
    together = gecko.encode_document(documents, batch_size=1, device=["cpu"], chunk_size=2)
    np.testing.assert_allclose(together, alone, atol=1e-6)  # the last bits of a product may differ
