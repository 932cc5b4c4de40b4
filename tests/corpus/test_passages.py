from pathlib import Path

import datasets
import pytest

from gecko_hf.corpus.passages import (
    Passage,
    check_ids,
    merge_near_identical,
    normalise,
    read_corpus,
    sample_rows,
    write_corpus,
)
from gecko_hf.errors import CorpusError

LONG = " ".join(f"word{i}" for i in range(60))


def passages_of(*texts: str) -> list[Passage]:
    return [Passage(f"p{i}", f"Title {i}", text) for i, text in enumerate(texts)]


def test_the_same_text_is_the_same_up_to_case_punctuation_and_white_space():
    assert normalise("  The\n `numpy.Sort_me`, 2nd time! ") == "the numpy sort me 2nd time"
    assert normalise("...") == ""


def test_exact_twins_are_merged_into_the_first_and_titles_do_not_matter():
    kept, merged = merge_near_identical(passages_of("One text here.", "Another text.", "one TEXT, here"), 0.9)
    assert [p.id for p in kept] == ["p0", "p1"]
    assert merged == {"p2": "p0"}


@pytest.mark.parametrize(("threshold", "merges"), [(0.8, True), (0.9, False)])
def test_near_twins_are_merged_from_the_threshold_on(threshold: float, merges: bool):
    # 60 words have 56 grams of five words; one changed word at the seventh last place takes five of them:
    # 51 common grams of 61 in all, a Jaccard similarity of 0.836.
    words = LONG.split()
    words[-7] = "changed"
    _, merged = merge_near_identical(passages_of(LONG, " ".join(words)), threshold)
    assert merged == ({"p1": "p0"} if merges else {})


def test_at_threshold_one_only_exact_twins_are_merged():
    texts = (LONG, f"{LONG} end", LONG.upper())
    assert merge_near_identical(passages_of(*texts), 1.0)[1] == {"p2": "p0"}
    assert merge_near_identical(passages_of(*texts), 0.9)[1] == {"p1": "p0", "p2": "p0"}


def test_short_texts_are_merged_only_if_they_are_the_same():
    assert merge_near_identical(passages_of("Short.", "Shorter.", "short"), 0.9)[1] == {"p2": "p0"}


def test_merging_keeps_the_order_and_every_passage_is_kept_or_merged():
    given = passages_of("c c c", "a a a", "b b b", "a a a", "c c c")
    kept, merged = merge_near_identical(given, 0.9)
    assert [p.text for p in kept] == ["c c c", "a a a", "b b b"]
    assert {p.id for p in kept} | set(merged) == {p.id for p in given}
    assert merge_near_identical([], 0.9) == ([], {})


def test_a_written_corpus_reads_back_and_opens_as_a_data_set(tmp_path: Path):
    given = [Passage("a", "", "Text with\nlines, ümläuts and 漢字."), Passage("b#0", "T > U", "x")]
    write_corpus(given, tmp_path / "run" / "corpus")
    assert read_corpus(tmp_path / "run" / "corpus") == given
    table = datasets.Dataset.from_parquet(str(tmp_path / "run" / "corpus" / "train.parquet"), keep_in_memory=True)
    assert table.column_names == ["id", "title", "text"]


def test_different_ids_pass():
    check_ids(passages_of("same", "same"))


def test_doubled_ids_are_refused_with_their_names_and_a_way_out():
    doubled = [Passage(f"id{i % 7}", "", "text") for i in range(21)]
    with pytest.raises(CorpusError, match=r"^7 ids .*'id0', .*'id4' \.\.\..*corpus\.id_column="):
        check_ids(doubled)


def test_sampled_rows_are_different_and_depend_on_the_seed_alone():
    rows = sample_rows(5, 20, seed=1)
    assert len(set(rows)) == 5
    assert rows == sample_rows(5, 20, seed=1) != sample_rows(5, 20, seed=2)
    assert sorted(sample_rows(9, 4, seed=1)) == [0, 1, 2, 3]
