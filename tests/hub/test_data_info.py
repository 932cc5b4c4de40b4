"""What the card says of rows and bytes, by which `datasets` tells one FRet from another."""

import shutil

import yaml
from datasets import Dataset, load_dataset

from gecko_hf.hub.cards import write_fret_card
from gecko_hf.run_folder import Paths


def head_of(paths: Paths) -> dict:
    return yaml.safe_load((paths.fret / "README.md").read_text(encoding="utf-8").split("---\n")[1])


def test_the_card_tells_columns_and_rows_of_each_config(paths):
    told = {info["config_name"]: info for info in head_of(paths)["dataset_info"]}
    for config, info in told.items():
        rows = Dataset.from_parquet(str(paths.fret / config / "train.parquet"), keep_in_memory=True)
        assert info["splits"][0]["num_examples"] == len(rows)
        assert [feature["name"] for feature in info["features"]] == rows.column_names
    assert set(told) == {"default", "labels", "corpus"}


def test_the_rows_of_another_run_are_not_taken_for_those_that_were_loaded_before(paths, real, tmp_path):
    other = Paths(shutil.copytree(paths.root, tmp_path / "other"))
    rows = Dataset.from_parquet(str(other.fret / "default" / "train.parquet"), keep_in_memory=True)
    rows.select(range(3)).to_parquet(other.fret / "default" / "train.parquet")
    write_fret_card(real, other)
    found = [len(load_dataset(str(p.fret), split="train", cache_dir=str(tmp_path / "cache"))) for p in (paths, other)]
    assert found == [len(rows), 3]
