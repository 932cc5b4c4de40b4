"""Every kind of data: what its rows become, and what is set aside with a reason."""

import random

import pytest

from gecko_hf.errors import RecipeError
from gecko_hf.training.converters import KINDS, Example, Text


def convert(kind, rows):
    found = list(KINDS[kind].convert(rows, random.Random(0)))
    return [e for e in found if isinstance(e, Example)], [e for e in found if isinstance(e, str)]


def test_fret_rows_bring_their_own_task():
    row = {
        "task": "fact checking", "query": "q", "positive_title": "T", "positive": "p", "negative_title": None, "negative": "n",
    }  # fmt: skip
    assert convert("fret", [row]) == ([Example("q", Text("p", "T"), [Text("n")], "fact checking")], [])
    (bare,), _ = convert("fret", [row | {"negative": None}])
    assert bare.negatives == []


def test_pairs_may_have_titles_and_a_negative():
    rows = [
        {"query": "q", "positive": "p"},
        {"query": "q", "positive": "p", "title": "T", "negative": "n"},
        {"query": " ", "positive": "p"},
    ]
    assert convert("pairs", rows) == (
        [Example("q", Text("p")), Example("q", Text("p", "T"), [Text("n")])],
        ["empty text"],
    )


def test_passages_are_taken_in_their_order():
    row = {
        "query": "q",
        "positive_passages": [{"docid": "1", "title": "T", "text": "p"}, {"docid": "2", "title": "", "text": "other"}],
        "negative_passages": [{"docid": "3", "title": "U", "text": "n"}, {"docid": "4", "title": "", "text": " "}],
    }
    assert convert("passages", [row, row | {"positive_passages": []}]) == (
        [Example("q", Text("p", "T"), [Text("n", "U")])],
        ["no positive passage"],
    )


@pytest.mark.parametrize(
    ("scores", "kept"),
    [([9, 3, 2], [9, 2]), ([9, 3], None), ([9, 3, 2, 1], None), (None, None)],
    ids=["one each", "too few", "too many", "none"],
)
def test_scores_go_with_the_empty_negatives_that_they_are_of_or_say_nothing(scores, kept):
    row = {"query": "q", "positive_passages": ["p"], "negative_passages": [" ", "n"], "scores": scores}
    assert convert("passages", [row])[0] == [Example("q", Text("p"), [Text("n")], scores=kept)]


@pytest.mark.parametrize(
    ("negative", "scores", "kept"), [("n", [9, 2], [9, 2]), ("", [9, 2], [9]), (None, [9], [9]), (None, [9, 2], None)]
)
def test_pairs_have_a_score_for_each_text(negative, scores, kept):
    row = {"query": "q", "positive": "p", "negative": negative, "scores": scores}
    assert convert("pairs", [row])[0][0].scores == kept


def test_hotpotqa_takes_a_supporting_paragraph_and_distractors():
    row = {
        "question": "q",
        "supporting_facts": {"title": ["A", "B"], "sent_id": [0, 0]},
        "context": {"title": ["A", "B", "C"], "sentences": [["One. ", "Two."], ["Three."], ["Four."]]},
    }
    (example,), _ = convert("hotpotqa", [row])
    assert example.positive in (Text("One. Two.", "A"), Text("Three.", "B"))
    assert example.negatives == [Text("Four.", "C")]
    assert convert("hotpotqa", [row | {"supporting_facts": {"title": ["D"], "sent_id": [0]}}])[1] == [
        "no supporting paragraph"
    ]


def test_fever_keeps_evidence_that_supports_or_refutes():
    row = {"claim": "c", "label": "SUPPORTS", "title": "T", "evidence": ["One.", "Two."]}
    rows = [
        row,
        row | {"label": "REFUTES", "evidence": "One."},
        row | {"label": "NOT ENOUGH INFO"},
        row | {"evidence": []},
    ]
    assert convert("fever", rows) == (
        [Example("c", Text("One. Two.", "T")), Example("c", Text("One.", "T"))],
        ["not enough information", "no evidence"],
    )
    (mined,), _ = convert("fever", [row | {"negative_passages": ["Three."]}])
    assert mined.negatives == [Text("Three.")]


def test_medmcqa_sets_the_right_option_against_the_wrong_ones():
    row = {"question": "q", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 2}
    (example,), aside = convert("medmcqa", [row, row | {"opc": "None of the above"}, row | {"cop": -1}])
    assert example.positive == Text("c")
    assert sorted(t.text for t in example.negatives) == ["a", "b", "d"]
    assert aside == ["the answer is all or none of the above", "no right option"]


def test_nli_pairs_entailment_with_contradiction_of_the_same_premise():
    rows = [
        {"premise": "p", "hypothesis": "yes", "label": 0},
        {"premise": "p", "hypothesis": "maybe", "label": 1},
        {"premise": "p", "hypothesis": "no", "label": 2},
        {"premise": "r", "hypothesis": "also", "label": "entailment"},
        {"premise": "s", "hypothesis": "never", "label": "contradiction"},
        {"premise": "s", "hypothesis": "?", "label": -1},
    ]
    assert convert("nli", rows) == (
        [Example("p", Text("yes"), [Text("no")]), Example("r", Text("also"))],
        ["neutral or without a label"] * 2 + ["no entailed hypothesis"],
    )


def test_labels_pair_within_a_label_and_mark_every_row_with_its_own_id():
    rows = [{"text": f"text {i}", "label": i % 3} for i in range(30)] + [{"text": "alone", "label": 9}]
    examples, aside = convert("labels", rows)
    assert aside == ["no other text of this label"]
    classes = {row["text"]: row["label"] for row in rows}
    for example in examples:
        assert example.query != example.positive.text
        assert classes[example.query] == classes[example.positive.text] != classes[example.negatives[0].text]
    assert len({example.mark for example in examples}) == len(examples) == 30
    assert convert("labels", rows[:1] * 2)[1] == ["no text of another label"] * 2


def test_a_text_in_the_place_of_a_list_of_passages_is_refused():
    row = {"query": "q", "positive_passages": "The cat meows.", "negative_passages": []}
    with pytest.raises(RecipeError, match=r"positive_passages holds the text 'The cat meows.'.*kind: pairs"):
        convert("passages", [row])


def test_no_list_of_negative_passages_is_an_empty_one():
    row = {"query": "q", "positive_passages": ["p"], "negative_passages": None}
    assert convert("passages", [row])[0] == [Example("q", Text("p"), [])]


def test_texts_without_a_label_are_no_class():
    rows = [{"text": text, "label": label} for text, label in (("a", 0), ("b", 0), ("c", 1), ("d", None), ("e", None))]
    examples, aside = convert("labels", rows)
    assert [e.query for e in examples] == ["a", "b"]
    assert aside == ["no label", "no label", "no other text of this label"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_give_no_examples(kind):
    assert convert(kind, []) == ([], [])


def test_nli_without_a_premise_or_a_hypothesis_is_set_aside():
    good = {"premise": "p", "hypothesis": "h", "label": 0}
    rows = [good, good | {"hypothesis": None}, good | {"premise": " "}, good | {"hypothesis": "", "label": 2}]
    assert convert("nli", rows) == ([Example("p", Text("h"))], ["empty text"] * 3)


def test_a_text_with_several_labels_is_set_aside():
    rows = [{"text": f"t{i}", "label": i % 2} for i in range(4)]
    examples, aside = convert("labels", [*rows, {"text": "t", "label": [0, 1]}])
    assert (len(examples), aside) == (4, ["several labels"])
