import pytest

from gecko_hf.corpus.passages import normalise, sample_rows


def test_the_same_text_is_the_same_up_to_case_punctuation_and_white_space():
    assert normalise("  The\n `numpy.Sort_me`, 2nd time! ") == "the numpy sort me 2nd time"
    assert normalise("...") == ""


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (
            "Cafe\u0301, ﬁn ℍ",
            "café fin h",
        ),  # an accent apart from its letter, two letters in one, a letter of mathematics
        ("हिन्दी की किताब", "हिन्दी की किताब"),  # vowel signs are parts of words
        ("今日は、天気。", "今 日 は 天 気"),  # each a word, for there are no spaces
        ("done \u2705\ufe0f now", "done now"),  # a mark that stands at no letter
    ],
)
def test_words_are_told_apart_in_every_script(text, plain):
    assert normalise(text) == plain


def test_sampled_rows_are_different_and_depend_on_the_seed_alone():
    rows = sample_rows(5, 20, seed=1).tolist()
    assert len(set(rows)) == 5
    assert rows == sample_rows(5, 20, seed=1).tolist() != sample_rows(5, 20, seed=2).tolist()
    assert sorted(sample_rows(9, 4, seed=1)) == [0, 1, 2, 3]
