"""What a person without a terminal reads while something runs."""

import io

from rich.console import Console

from gecko_hf import progress
from gecko_hf.progress import View


def lines_of(monkeypatch, reports):
    """What is printed of `(second, done, total)` reports to one bar."""
    now, out = [0.0], io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with View(Console(file=out)).task("training") as report:
        for now[0], done, total in reports:
            report(done, total)
    return out.getvalue().splitlines()


def test_without_a_terminal_a_bar_is_a_line_now_and_then(monkeypatch):
    reports = [(4.0, 1, 4), (14.0, 2, 4), (24.0, 3, 4), (25.0, 4, 4)]
    assert lines_of(monkeypatch, reports) == ["  training: 3 of 4, about 10 s left"]


def test_long_times_are_told_in_minutes(monkeypatch):
    assert lines_of(monkeypatch, [(1.0, 1, 4), (61.0, 2, 4)]) == ["  training: 2 of 4, about 2 min left"]


def test_what_was_done_before_tells_nothing_of_the_time_left(monkeypatch):
    reports = [(1.0, 50, 100), (21.0, 51, 100)]  # goes on at 50, and needs 20 seconds a step
    assert lines_of(monkeypatch, reports) == ["  training: 51 of 100, about 16 min left"]


def test_each_round_of_a_bar_has_a_time_of_its_own(monkeypatch):
    first = [(1.0, 1, 3), (2.0, 2, 3), (3.0, 3, 3)]  # one side of a set's pairs, then the other, which is slower
    then = [(10.0, 1, 3), (30.0, 2, 3)]
    assert lines_of(monkeypatch, [*first, *then]) == ["  training: 2 of 3, about 20 s left"]


def test_no_time_is_told_of_what_is_not_known(monkeypatch):
    assert lines_of(monkeypatch, [(20.0, 5, 20)]) == ["  training: 5 of 20"]  # one report has no rate
    assert lines_of(monkeypatch, [(1.0, 5, None), (20.0, 6, None)]) == ["  training: 6 of ?"]


def test_a_line_is_printed_in_one_piece_and_as_it_is():
    out = io.StringIO()
    line = f"http://[fe80::1]:8080 wrote {'a word ' * 30}[/INST]"
    View(Console(file=out, width=80)).say(line)
    assert out.getvalue() == f"{line}\n"
