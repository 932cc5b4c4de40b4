"""From what a source yields to a corpus on disk: ids checked, near-identical passages merged, the rest set aside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from gecko_hf.corpus.near import near_identical, word_runs
from gecko_hf.corpus.passages import Passage
from gecko_hf.corpus.split import Item
from gecko_hf.corpus.store import check_ids, stream_corpus, write_corpus

Report = Callable[[int, int | None], None]  # (done, total)
REPORT_EVERY = 1000  # passages
SET_ASIDE = "set_aside.jsonl"


@dataclass(frozen=True)
class Gathered:
    """What became of a source.

    Attributes:
        passages: How many there are.
        merged: Ids that were merged into others: merged id -> kept id.
        set_aside: How many items could not be used.
    """

    passages: int
    merged: dict[str, str]
    set_aside: int


class Draft:
    """Passages as a source gives them, before ids are checked and near-identical ones merged.

    Args:
        folder: Where they are kept while the draft is open; what a killed process left there is removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = self.set_aside = 0

    def __enter__(self) -> Draft:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)

    def write(self, items: Iterable[Item]) -> None:
        """Write what a source yields, as it comes.

        Raises:
            CorpusError: If two passages have one id.
        """
        self.count = write_corpus(self._passages(items), self.folder)
        check_ids(self.folder)

    def _passages(self, items: Iterable[Item]) -> Iterator[Passage]:
        with (self.folder / SET_ASIDE).open("w", encoding="utf-8") as lines:
            for item in items:
                if isinstance(item, Passage):
                    yield item
                else:
                    lines.write(json.dumps(asdict(item), ensure_ascii=False) + "\n")
                    self.set_aside += 1

    def finish(self, near_duplicate: float, folder: Path, report: Report | None = None) -> Gathered:
        """Merge near-identical passages and write the corpus, with a list of what was set aside.

        Of each group whose texts overlap by at least `near_duplicate` (Jaccard similarity of five words in a row) the first
        stays. Titles are not compared. The report is told the progress in passages.
        """
        twins = near_identical(lambda: self._texts(report), near_duplicate, word_runs, self.folder)
        concerned = twins.keys() | set(twins.values())
        ids = {row: p.id for row, p in enumerate(self._read()) if row in concerned} if twins else {}
        merged = {ids[row]: ids[twin] for row, twin in twins.items()}
        count = write_corpus((p for row, p in enumerate(self._read()) if row not in twins), folder)
        (self.folder / SET_ASIDE).replace(folder / SET_ASIDE)
        return Gathered(count, merged, self.set_aside)

    def _read(self) -> Iterator[Passage]:
        return stream_corpus(self.folder)

    def _texts(self, report: Report | None) -> Iterator[str]:
        for done, passage in enumerate(self._read(), 1):
            yield passage.text
            if report and (done % REPORT_EVERY == 0 or done == self.count):
                report(done, self.count)
