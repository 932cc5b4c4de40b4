"""Large parquet files are cut by rows before a push."""

import pyarrow.parquet as pq

from gecko_hf.hub.shards import shards
from gecko_hf.run_folder import Paths


def test_a_file_over_the_limit_is_cut_into_parts_with_its_rows_in_their_order(finished_run, tmp_path):
    fret = Paths(finished_run).fret
    whole = pq.read_table(fret / "labels" / "train.parquet")
    limit = (fret / "labels" / "train.parquet").stat().st_size // 3
    found = shards("labels", fret, tmp_path / "one", limit)
    assert list(found) == [f"labels/train-{i:05d}-of-{len(found):05d}.parquet" for i in range(len(found))]
    assert len(found) > 1
    assert [row for file in found.values() for row in pq.read_table(file).to_pylist()] == whole.to_pylist()
    again = shards("labels", fret, tmp_path / "two", limit)
    assert [f.read_bytes() for f in found.values()] == [f.read_bytes() for f in again.values()]


def test_a_file_under_the_limit_is_taken_as_it_lies(finished_run, tmp_path):
    fret = Paths(finished_run).fret
    assert shards("default", fret, tmp_path) == {
        "default/train-00000-of-00001.parquet": fret / "default" / "train.parquet"
    }
    assert list(tmp_path.iterdir()) == []
