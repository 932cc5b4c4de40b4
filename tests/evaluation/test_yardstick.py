"""The See Also yardstick: which descriptions become queries, and for which passages."""

import pytest

from gecko_hf.corpus.docstrings import Documentation, Reference
from gecko_hf.corpus.passages import Passage
from gecko_hf.evaluation.yardstick import held_out_ids, read_queries, see_also_queries, split_of, write_queries

NAMES = ["lib.sort", "lib.linalg.norm", "lib.Table.sort", "lib.Table.head", "other.head"]
PASSAGES = [Passage(n, n, f"This is what {n} says about itself.") for n in NAMES]


def queries(*references: Reference, passages=PASSAGES, merged=None, dev_share=0.0):
    documentation = Documentation(PASSAGES, {n: n for n in NAMES}, list(references))
    return see_also_queries(documentation, passages, merged or {}, dev_share)


def relevant(name: str, source: str) -> list[str]:
    found = queries(Reference(source, (name,), "Some thing that nobody else said."))
    return found[0].relevant if found else []


@pytest.mark.parametrize(
    ("name", "source", "meant"),
    [
        ("sort", "lib.Table.head", "lib.Table.sort"),  # the nearest scope wins
        ("sort", "lib.linalg.norm", "lib.sort"),
        ("lib.sort", "lib.Table.head", "lib.sort"),
        ("linalg.norm", "lib.Table.head", "lib.linalg.norm"),
        ("norm", "other.head", "lib.linalg.norm"),  # one name ends like this
        ("head", "lib.sort", "lib.Table.head"),  # of two, the one in the same package
    ],
)
def test_a_name_means_the_nearest_thing_that_is_called_so(name, source, meant):
    assert relevant(name, source) == [meant]


@pytest.mark.parametrize("name", ["nothing", "lib.nothing"])
def test_a_name_that_means_nothing_gives_no_query(name):
    assert relevant(name, "lib.sort") == []


def test_one_description_of_several_things_is_one_query():
    (query,) = queries(
        Reference("lib.sort", ("lib.Table.sort",), "Order the rows."), Reference("x.y", ("lib.sort",), "order the ROWS")
    )
    assert (query.text, query.relevant) == ("Order the rows.", ["lib.Table.sort", "lib.sort"])


def test_a_description_of_more_than_three_things_is_left_out():
    assert queries(Reference("lib.sort", tuple(NAMES[:4]), "Related functions of this library.")) == []


@pytest.mark.parametrize("said", ["what lib.sort says", "WHAT lib, sort -- says!"])
def test_a_description_that_stands_in_a_passage_is_left_out(said):
    assert queries(Reference("other.head", ("lib.sort",), said)) == []


def test_part_of_a_word_is_not_a_verbatim_match():
    assert len(queries(Reference("other.head", ("lib.sort",), "what lib sort say"))) == 1


def test_a_merged_passage_stands_for_the_one_that_was_kept():
    (query,) = queries(
        Reference("other.head", ("lib.sort",), "Order them."), passages=PASSAGES[1:], merged={"lib.sort": "other.head"}
    )
    assert query.relevant == ["other.head"]


def test_the_split_is_a_hash_of_the_query():
    share = sum(split_of(f"query {i}", 0.2) == "dev" for i in range(5000)) / 5000
    assert share == pytest.approx(0.2, abs=0.02)
    assert split_of("x", 0.0) == "test"
    assert split_of("query 1", 0.2) == split_of("query 1", 0.2)


def test_held_out_are_a_share_of_the_ids_and_no_more_than_are_asked_for():
    ids = [f"passage {i}" for i in range(2000)]
    share = held_out_ids(ids, 0.1, 2000, seed=1)
    assert len(share) == pytest.approx(200, abs=50)
    few = held_out_ids(reversed(ids), 0.1, 20, seed=1)
    assert len(few) == 20
    assert set(few) < set(share)
    assert few == sorted(few) != held_out_ids(ids, 0.1, 20, seed=2)


def test_queries_survive_being_written(tmp_path):
    written = queries(Reference("other.head", ("lib.sort",), "Order them."))
    write_queries(written, tmp_path / "y" / "queries.parquet")
    assert read_queries(tmp_path / "y" / "queries.parquet") == written
