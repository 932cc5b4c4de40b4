import pytest

from gecko_hf.fret.label import Label, choose
from gecko_hf.fret.rank import Ranked

RANKING = [Ranked(2, 1, 1, 2.0), Ranked(0, 2, 3, 0.83), Ranked(1, 3, 2, 0.83)]


@pytest.mark.parametrize(
    ("seed", "positive", "negative", "label"),
    [
        (0, "fused", "last", Label(2, 1)),  # the paper: p_1 and p_N
        (0, "seed", "last", Label(0, 1)),
        (1, "seed", "last", Label(1, 0)),  # the seed is last itself, so the one before it is the negative
        (0, "fused", "none", Label(2, None)),
    ],
)
def test_positive_and_negative_come_from_the_ranking(seed, positive, negative, label):
    assert choose(RANKING, seed, positive, negative) == label
