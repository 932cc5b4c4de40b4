"""What was spent is told while the work goes on, whether or not it reports."""

import io
import re
import time
from contextlib import closing
from pathlib import Path

from rich.console import Console

from gecko_hf import spending
from gecko_hf.llm.answers import Answers
from gecko_hf.progress import View
from gecko_hf.recipe import load_recipe
from gecko_hf.run_folder import Paths

DOMAIN = Path(__file__).parents[1] / "recipes" / "domain"


def test_what_was_spent_is_told_while_work_reports_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(spending, "TOLD_EVERY", 0.02)
    recipe = load_recipe(DOMAIN, ["corpus.path=docs", "llm.backend=local", "llm.model=m"])
    seen, paths = io.StringIO(), Paths(tmp_path)
    with (
        closing(Answers(paths.answers)) as answers,
        spending.task_with_spending(View(Console(file=seen)), recipe, paths, "write queries"),
    ):
        for i in (1, 2):
            answers.put(str(i), "reply", prompt_tokens=3)
            until = time.monotonic() + 30
            while f"so far: {i} requests" not in seen.getvalue() and time.monotonic() < until:
                time.sleep(0.02)
    assert re.findall(r"so far: (\d) requests", seen.getvalue()) == ["1", "2"]  # the same is not said twice
