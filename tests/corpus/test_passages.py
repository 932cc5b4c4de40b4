from gecko_hf.corpus.passages import normalise, sample_rows


def test_the_same_text_is_the_same_up_to_case_punctuation_and_white_space():
    assert normalise("  The\n `numpy.Sort_me`, 2nd time! ") == "the numpy sort me 2nd time"
    assert normalise("...") == ""


def test_sampled_rows_are_different_and_depend_on_the_seed_alone():
    rows = sample_rows(5, 20, seed=1).tolist()
    assert len(set(rows)) == 5
    assert rows == sample_rows(5, 20, seed=1).tolist() != sample_rows(5, 20, seed=2).tolist()
    assert sorted(sample_rows(9, 4, seed=1)) == [0, 1, 2, 3]
