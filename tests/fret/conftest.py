"""FRet of a small library, built in this process."""

import pytest
from bag_workshop import BagWorkshop, steps_of

from gecko_hf.fret.build import FRet, read_part
from gecko_hf.fret.recipe import FRetRecipe
from gecko_hf.fret.steps import rejected_of, write_seeds
from gecko_hf.fret.work import WorkFolder


def gather(work, parts) -> FRet:
    from pathlib import Path

    read = lambda name: [row for i in range(parts) for row in read_part(Path(work.url) / name / f"{i:05d}.parquet")]  # noqa: E731
    return FRet(read("default"), read("labels"), [r for i in range(parts) for r in rejected_of(work, i)])


@pytest.fixture(scope="session")
def build_fret(passages, tmp_path_factory):
    """Builds FRet over every second passage of the library with some options of the recipe, and test sets perhaps."""

    def build(tests=None, **changes) -> FRet:
        shop = BagWorkshop(passages, FRetRecipe(**({"candidates": 8} | changes)), tests=tests)
        work = WorkFolder(str(tmp_path_factory.mktemp("work")))
        seeds = range(0, len(passages), 2)
        write_seeds(work, seeds, shop.recipe, shop.seed)
        steps = steps_of(shop, work, len(seeds))
        for step, parts in steps:
            for rank in range(parts):
                step(None, rank, parts)
        return gather(work, steps[-1][1])

    return build
