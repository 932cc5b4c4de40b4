from collections.abc import Iterable
from pathlib import Path

import datasets
import pytest

from gecko_hf.corpus.passages import Passage
from gecko_hf.corpus.store import BATCH, check_ids, read_corpus, stream_corpus, write_corpus
from gecko_hf.errors import CorpusError

GIVEN = [Passage("a", "", "Text with\nlines, ümläuts and 漢字."), Passage("b#0", "T > U", "x")]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def written(folder: Path, passages: Iterable[Passage]) -> Path:
    write_corpus(passages, folder / "corpus")
    return folder / "corpus"


def test_a_written_corpus_reads_back_and_opens_as_a_data_set(tmp_path: Path):
    folder = written(tmp_path, GIVEN)
    assert list(read_corpus(folder)) == list(stream_corpus(folder)) == GIVEN
    table = datasets.load_dataset(str(folder), split="train")
    assert table.column_names == ["id", "title", "text"]


def test_a_corpus_that_was_written_anew_is_read_anew(tmp_path: Path):
    assert read_corpus(written(tmp_path, [Passage("a", "", "One.")]))[0].text == "One."
    assert read_corpus(written(tmp_path, [Passage("a", "", "Two.")]))[0].text == "Two."


def test_any_passage_can_be_had_by_its_row_or_its_id(tmp_path: Path):
    passages = [Passage(f"p{i}", f"T{i}", f"Text {i}.") for i in range(BATCH + 10)]
    stored = read_corpus(written(tmp_path, iter(passages)))
    assert len(stored) == len(passages)
    assert stored[BATCH + 3] == stored[-7] == stored.find(f"p{BATCH + 3}") == passages[-7]
    assert stored[2:5] == passages[2:5]
    assert list(stored) == passages
    with pytest.raises(IndexError):
        stored[len(passages)]
    with pytest.raises(KeyError):
        stored.find("p-1")


def test_texts_are_title_and_text_as_mteb_joins_them(tmp_path: Path):
    texts = read_corpus(written(tmp_path, GIVEN)).texts
    assert list(texts) == texts[:] == ["Text with\nlines, ümläuts and 漢字.", "T > U x"]
    assert texts[1] == "T > U x"
    assert len(texts) == 2


def test_different_ids_pass(tmp_path: Path):
    check_ids(written(tmp_path, (Passage(f"p{i}", "", "same") for i in range(5))))


def test_doubled_ids_are_refused_with_their_names_and_a_way_out(tmp_path: Path):
    doubled = [Passage(f"id{i % 7}", "", "text") for i in range(21)]
    with pytest.raises(CorpusError, match=r"^7 ids .*'id0', .*'id4' \.\.\..*corpus\.id_column="):
        check_ids(written(tmp_path, doubled))
