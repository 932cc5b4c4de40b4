from collections import Counter

from gecko_hf.corpus.passages import Passage
from gecko_hf.fret.decontaminate import TestSets
from gecko_hf.training.mixture import fret_rows, lead_body_pairs, without_source

LONG = "Bees build hives from wax in spring. They gather nectar all summer long. Winter is spent inside."


def row(**changes):
    base = {
        "task": "search result", "query": "build hives wax", "positive_title": "Bees", "positive": LONG,
        "negative_title": "", "negative": "Ships have masts.",
    }  # fmt: skip
    return base | changes


def test_a_pair_is_the_opening_sentence_and_the_rest_under_its_title():
    (pair,) = lead_body_pairs([Passage("a", "Bees", LONG)], set(), 10, seed=0)
    assert pair == {
        "anchor": "task: search result | query: Bees build hives from wax in spring.",
        "positive": "title: Bees | text: They gather nectar all summer long. Winter is spent inside.",
    }


def test_a_share_of_the_titles_stands_in_the_text_as_mteb_reads_it():
    passages = [Passage(str(i), f"Bees {i}", LONG) for i in range(300)]
    pairs = lead_body_pairs(passages, set(), 300, seed=0, title_in_text=0.5)["positive"]
    joined = [p for p in pairs if p.startswith("title: none | text: Bees ")]
    assert 120 < len(joined) < 180
    assert all(p.startswith("title: Bees ") for p in pairs if p not in joined)
    (one,) = fret_rows([row()], 0.0, 0, title_in_text=1.0)
    assert one["positive"] == f"title: none | text: Bees {LONG}"
    assert one["negative"] == "title: none | text: Ships have masts."


def test_a_document_has_one_form_in_all_rows():
    rows = [row(query=f"wax {i}") for i in range(50)] + [row(negative_title="Bees", negative=LONG) for _ in range(50)]
    found = fret_rows(rows, 0.0, 3, title_in_text=0.5)
    assert len({*found["positive"], *found["negative"][50:]}) == 1


def test_held_out_passages_and_those_without_a_body_give_no_pair():
    passages = [Passage("a", "", LONG), Passage("b", "", "Only one sentence stands here."), Passage("c", "", "x = 1")]
    assert len(lead_body_pairs(passages, {"a"}, 10, seed=0)) == 0


def test_a_pair_that_overlaps_with_a_test_set_is_left_out_and_counted():
    passages = [
        Passage(str(i), "", f"Bees build hives number {i} from wax. The body has the number {i}.") for i in range(4)
    ]
    tests = TestSets(
        [("Held", "Bees build hives number 1 from wax."), ("Held", "The body has the number 2.")], near=1.0
    )
    aside: Counter[str] = Counter()
    pairs = lead_body_pairs(passages, set(), 10, seed=0, tests=tests, aside=aside)
    assert sorted(p[-2] for p in pairs["positive"]) == ["0", "3"]
    assert aside == {"test text: nearly identical to a text of Held": 2}


def test_no_more_pairs_are_made_than_are_asked_for():
    passages = [Passage(str(i), f"Bees {i}", LONG) for i in range(5)]
    assert [len(lead_body_pairs(passages, set(), count, seed=0)) for count in (0, 1, 3, 9)] == [0, 1, 3, 5]


def test_a_passage_that_opens_with_too_long_a_sentence_gives_no_pair():
    passage = Passage("a", "Bees", LONG)  # opens with seven words
    assert len(lead_body_pairs([passage], set(), 10, seed=0, max_lead_words=7)) == 1
    assert len(lead_body_pairs([passage], set(), 10, seed=0, max_lead_words=6)) == 0


def test_fret_rows_have_exactly_the_training_columns():
    dataset = fret_rows([row()], cut_source=0.0, seed=0)
    assert dataset.column_names == ["anchor", "positive", "negative"]
    assert dataset[0] == {
        "anchor": "task: search result | query: build hives wax",
        "positive": f"title: Bees | text: {LONG}",
        "negative": "title: none | text: Ships have masts.",
    }


def test_rows_without_negatives_have_two_columns():
    assert fret_rows([row(negative=None)], 0.0, 0).column_names == ["anchor", "positive"]


def test_the_sentence_that_holds_the_query_can_be_cut():
    assert fret_rows([row()], 1.0, 0)["positive"] == [
        "title: Bees | text: They gather nectar all summer long. Winter is spent inside."
    ]


def test_a_query_that_no_sentence_holds_leaves_the_positive_whole():
    assert fret_rows([row(query="hives winter")], 1.0, 0)["positive"] == [f"title: Bees | text: {LONG}"]


def test_only_a_share_is_cut_and_the_seed_decides_which():
    rows = [row(positive=f"{LONG} It is year {i}.") for i in range(400)]
    cut = ["build hives" not in p for p in fret_rows(rows, 0.5, 1)["positive"]]
    assert 150 < sum(cut) < 250
    assert cut == ["build hives" not in p for p in fret_rows(rows, 0.5, 1)["positive"]]


def test_a_positive_of_two_rows_stays_one_text():
    """Cut in one row and whole in the other it would be two for the sampler, and a false negative in a batch of both."""
    rows = [row(query="wax"), row(query="nectar summer"), row(positive=f"{LONG} It is cold.")]
    found = fret_rows(rows, 1.0, 0)["positive"][:]
    assert found[:2] == [f"title: Bees | text: {LONG}"] * 2
    assert "build hives" not in found[2]


def test_in_scripts_without_spaces_the_sentence_is_cut_as_in_others():
    first, second, third = "第一句话说的是面包和炉子。", "第二句话说帆船和大风。", "第三句话说象棋和花园里的花。"
    assert without_source("第二句话说帆船和大风", first + second + third) == f"{first} {third}"
