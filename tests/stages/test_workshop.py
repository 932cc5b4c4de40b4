"""What a worker finds in remote storage is what the run folder holds now."""

import uuid

import fsspec
import pytest

from gecko_hf.run_folder import Paths
from gecko_hf.stages.workshop import publish


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Publishes a run folder of a few files; returns what lies in storage, and the names that were copied this time."""
    folder, storage, copied = Paths(tmp_path), f"memory://{uuid.uuid4()}", []
    fs, root = fsspec.url_to_fs(storage)
    put = type(fs).put_file
    monkeypatch.setattr(
        type(fs), "put_file", lambda self, a, b: (copied.append(b.removeprefix(f"{root}/")), put(self, a, b))
    )
    for name in ("recipe.yaml", "logs/base.json", "corpus/train.parquet", "vectors/v.npy", "tasks/mine/queries.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(f"one {name}")

    def published():
        copied.clear()
        publish(folder, storage)
        return {name: fs.cat_file(f"{root}/{name}").decode() for name in PUBLISHED}, copied

    published.remove = lambda name: fs.rm_file(f"{root}/{name}")
    published.cut = lambda name: fs.pipe_file(f"{root}/{name}", b"on")
    return published


PUBLISHED = ("recipe.yaml", "logs/base.json", "corpus/train.parquet", "vectors/v.npy", "tasks/mine/queries.jsonl")


def test_all_that_a_worker_needs_is_copied_once(published):
    there, copied = published()
    assert there == {name: f"one {name}" for name in PUBLISHED}
    assert sorted(copied) == sorted(PUBLISHED)
    assert published() == (there, [])


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_file_that_changed_is_copied_again_though_it_is_as_large_as_before(published, tmp_path, name):
    published()
    (tmp_path / name).write_text(f"two {name}")
    there, copied = published()
    assert there[name] == f"two {name}"
    assert copied == [name]


@pytest.mark.parametrize("spoil", ["remove", "cut"])
def test_a_file_that_is_not_there_or_not_whole_is_copied_again(published, spoil):
    published()
    getattr(published, spoil)("vectors/v.npy")
    there, copied = published()
    assert there["vectors/v.npy"] == "one vectors/v.npy"
    assert copied == ["vectors/v.npy"]
