import pytest

from gecko_hf.text import is_prose, lead, sentences, without, words


def test_identifiers_fall_apart_into_words():
    assert words("numpy.search_sorted(x2)") == ["numpy", "search", "sorted", "x2"]


def test_a_paragraph_ends_a_sentence_without_a_full_stop():
    assert sentences("A heading\n\nOne thing. Another\nthing! Last") == [
        "A heading",
        "One thing.",
        "Another thing!",
        "Last",
    ]


def test_a_closing_quote_stays_with_its_sentence():
    assert sentences('He said "Go." Then left.') == ['He said "Go."', "Then left."]


def test_abbreviations_before_small_letters_end_no_sentence():
    assert sentences("Some arrays, e.g. lists, work.") == ["Some arrays, e.g. lists, work."]


@pytest.mark.parametrize("code", ["add(x, y) -> int", "x = [1, 2, 3, 4, 5]", "Too short."])
def test_code_and_scraps_are_no_prose(code):
    assert not is_prose(code)


@pytest.mark.parametrize(
    "sentence",
    [
        "猫は木の上で眠っている。",
        "黄河是中国北方的一条大河，全长约五千公里。",
        "แมวนอนอยู่บนต้นไม้สูง",
        "बिल्ली पेड़ पर सो रही है।",
        "گربه روی درخت می\u200cخوابد و نمی\u200cآید.",
        "고양이가 높은 나무 위에서 잔다.",
        "La cafe\u0301 est pre\u0301s de l\u2019eau.",
    ],
    ids=["Japanese", "Chinese", "Thai", "Hindi", "Persian", "Korean", "accents beside their letters"],
)
def test_prose_is_known_in_any_script(sentence):
    assert is_prose(sentence)


def test_sentences_end_without_a_space_where_a_script_has_none():
    assert sentences("猫が来た。「はい。」と言った！犬は？") == ["猫が来た。", "「はい。」と言った！", "犬は？"]
    assert sentences("他说：“你好。”真的吗？！是。") == ["他说：“你好。”真的吗？！", "是。"]


def test_the_lead_is_the_first_sentence_of_prose():
    assert lead("add(x1, x2, /)\n\nAdd two arrays element by element. More follows.") == (
        "Add two arrays element by element."
    )
    assert lead("x = 1") == ""


def test_a_sentence_is_cut_out_across_line_breaks():
    assert without("One two\nthree. Four.", "One two three.") == "Four."
