import json
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from gecko_hf.corpus import store
from gecko_hf.corpus.gather import Draft, Gathered
from gecko_hf.corpus.passages import Passage, SetAside
from gecko_hf.corpus.store import stream_corpus
from gecko_hf.errors import CorpusError


def gather(items, folder: Path, near_duplicate: float = 0.9) -> Gathered:
    with Draft(folder / "draft") as draft:
        draft.write(items)
        return draft.finish(near_duplicate, folder / "corpus")


def test_passages_keep_their_order_and_each_is_kept_or_merged(tmp_path: Path):
    texts = ("c c c", "a a a", "b b b", "A a, a", "c c c")
    found = gather((Passage(f"p{i}", f"Title {i}", text) for i, text in enumerate(texts)), tmp_path)
    assert [p.id for p in stream_corpus(tmp_path / "corpus")] == ["p0", "p1", "p2"]
    assert found == Gathered(3, {"p3": "p1", "p4": "p0"}, 0)


def test_what_was_set_aside_stands_in_a_file_and_the_draft_goes(tmp_path: Path):
    found = gather([SetAside("a.txt:1", "is émpty"), Passage("p", "", "Text."), SetAside("b", "no text")], tmp_path)
    assert found == Gathered(1, {}, 2)
    lines = (tmp_path / "corpus" / "set_aside.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == {"where": "a.txt:1", "reason": "is émpty"}
    assert not (tmp_path / "draft").exists()


def test_doubled_ids_are_refused_before_anything_is_merged(tmp_path: Path):
    with pytest.raises(CorpusError, match="1 ids stand at more than one passage: 'p'"):
        gather([Passage("p", "", "One."), Passage("p", "", "One.")], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_of_a_draft_is_not_taken_for_this_one(tmp_path: Path):
    Draft(tmp_path / "draft").__enter__().write([Passage("old", "", "Old.")])
    assert gather([Passage("new", "", "New.")], tmp_path).passages == 1


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "BATCH", 100)

    def peak(count: int) -> int:
        draw = random.Random(0)

        def passages() -> Iterator[Passage]:
            for i in range(count):
                yield Passage(f"p{i}", "", " ".join(draw.choices(WORDS, k=60)))

        tracemalloc.start()
        gather(passages(), tmp_path / str(count))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(1000), peak(3000)  # texts of 300 bytes
    assert large - small < 40 * 2000


WORDS = [f"w{i}" for i in range(1000)]
