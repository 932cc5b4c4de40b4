"""What a person without a terminal reads while something runs."""

import io

import pytest
from rich.console import Console

from gecko_hf import progress
from gecko_hf.progress import View, time_left


@pytest.mark.parametrize(
    ("seconds", "done", "total", "says"),
    [
        (10, 5, 20, ", about 30 s left"),
        (60, 1, 4, ", about 3 min left"),
        (10, 0, 20, ""),  # nothing is known yet
        (10, 5, None, ""),
        (10, 20, 20, ", about 0 s left"),
    ],
)
def test_the_time_left_follows_from_the_mean_rate(seconds, done, total, says):
    assert time_left(seconds, done, total) == says


def test_without_a_terminal_a_bar_is_a_line_now_and_then(monkeypatch):
    clock = iter([0.0, 4.0, 20.0, 20.0, 24.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    out = io.StringIO()
    with View(Console(file=out)).task("training") as report:
        for done in (1, 2, 3):
            report(done, 4)
    assert out.getvalue() == "  training: 2 of 4, about 20 s left\n"


def test_a_line_is_printed_in_one_piece_and_as_it_is():
    out = io.StringIO()
    line = f"http://[fe80::1]:8080 wrote {'a word ' * 30}[/INST]"
    View(Console(file=out, width=80)).say(line)
    assert out.getvalue() == f"{line}\n"
