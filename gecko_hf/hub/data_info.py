"""`dataset_info` of a data set card: columns, rows and bytes of each config, which the Hub's viewer shows.

`datasets` also tells by it whether rows that it has read before are these. It knows those of a local folder by the folder's last
name and by what the card says of configs and sizes: without sizes the FRet of two runs would be one, and the rows of the first
that was loaded would stand for those of the second.
"""

from __future__ import annotations

from pathlib import Path

import yaml

CONFIGS = ("default", "labels", "corpus")  # of FRet


def dataset_info(folder: Path) -> str:
    """The YAML for the head of the card.

    Args:
        folder: FRet's, with a folder of parquet files for each config.
    """
    from datasets import DatasetInfo, Features, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData
    from pyarrow import parquet  # type: ignore[import-untyped]

    infos = DatasetInfosDict()
    for config in CONFIGS:
        files = sorted((folder / config).glob("*.parquet"))
        heads = [parquet.read_metadata(file) for file in files]
        size = sum(head.row_group(i).total_byte_size for head in heads for i in range(head.num_row_groups))
        infos[config] = DatasetInfo(
            config_name=config,
            features=Features.from_arrow_schema(parquet.read_schema(files[0])),
            splits=SplitDict({"train": SplitInfo("train", size, sum(head.num_rows for head in heads))}),
            download_size=sum(file.stat().st_size for file in files),
            dataset_size=size,
        )
    card = DatasetCardData()
    infos.to_dataset_card_data(card)
    return yaml.safe_dump({"dataset_info": card["dataset_info"]}, sort_keys=False).strip()
