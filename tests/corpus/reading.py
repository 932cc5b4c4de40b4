"""Files read as a corpus."""

from dataclasses import dataclass
from pathlib import Path

from gecko_hf.corpus.files import read_files
from gecko_hf.corpus.passages import Passage, SetAside
from gecko_hf.corpus.recipe import CorpusRecipe


@dataclass
class Corpus:
    passages: list[Passage]
    set_aside: list[SetAside]


def read(path: Path | str, **options: str | int) -> Corpus:
    items = list(read_files(CorpusRecipe(path=str(path), **options)))
    return Corpus([i for i in items if isinstance(i, Passage)], [i for i in items if isinstance(i, SetAside)])


def read_text(folder: Path, name: str, text: str, max_words: int = 120) -> list[tuple[str, str]]:
    """Titles and texts of one document."""
    (folder / name).write_text(text, encoding="utf-8")
    return [(p.title, p.text) for p in read(folder / name, max_words=max_words).passages]
