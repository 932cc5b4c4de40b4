"""What a person sees while a run works: one live view with rates and the time left, or plain lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Report = Callable[[int, int | None], None]
PLAIN_EVERY = 15.0  # seconds between two lines of a bar where nothing can be redrawn
RECENT = 600.0  # seconds that rates are taken over: work that went on begins with what was done before, or kept answers


class _Rate(ProgressColumn):
    """Items a second of the running task."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="cyan")


def time_left(task: Task) -> str:
    """`, about 3 min left`, from the rate of late; empty where that or the whole is not known."""
    left = task.time_remaining
    if left is None:
        return ""
    return f", about {left / 60:.0f} min left" if left >= 90 else f", about {left:.0f} s left"


class View:
    """Progress of a run's stages on one console.

    Args:
        console: Where to draw; a plain file or pipe gets lines instead of bars.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            get_time=lambda: time.monotonic(),
            speed_estimate_period=RECENT,
            disable=not console.is_terminal,
        )

    @contextmanager
    def live(self) -> Iterator[None]:
        """Draw until the block ends."""
        with self._progress:
            yield

    def say(self, message: str | Text) -> None:
        """A line above the bars, in one piece; what stands in brackets is no markup."""
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, description: str) -> Iterator[Report]:
        """A bar for one piece of work; call what it yields with (done, total), fewer than before for another round."""
        bar = self._progress.add_task(description, total=None)
        state = self._progress.tasks[-1]
        last = time.monotonic()

        def report(done: int, total: int | None) -> None:
            nonlocal last
            if done < state.completed:  # rich takes a bar that was full once for finished, and its time left for none
                self._progress.reset(bar)
            self._progress.update(bar, completed=done, total=total)
            if not self.console.is_terminal and time.monotonic() - last >= PLAIN_EVERY:
                last = time.monotonic()
                self.say(f"  {description}: {done} of {total or '?'}{time_left(state)}")

        try:
            yield report
        finally:
            self._progress.remove_task(bar)
