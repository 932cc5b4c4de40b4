"""Who fetches FRet's candidates: the untouched base, or the model of the `retriever` block."""

import json
import os
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from rich.console import Console
from sentence_transformers import SentenceTransformer

from gecko_hf import pipeline
from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.errors import RecipeError
from gecko_hf.hub.cards import fret_card
from gecko_hf.hub.provenance import retriever_of
from gecko_hf.hub.summary import summarise
from gecko_hf.recipe import load_recipe
from gecko_hf.run_folder import Paths, open_run_folder
from gecko_hf.stages.report import yardstick_name


@pytest.fixture(scope="module")
def other(tmp_path_factory, tiny_model_path) -> Path:
    """The tiny model with other weights: it finds other neighbours."""
    folder = tmp_path_factory.mktemp("other") / "other"
    model = SentenceTransformer(str(tiny_model_path))
    torch.manual_seed(1)
    for weights in model.parameters():
        torch.nn.init.normal_(weights)
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture
def recipe(tmp_path, library_folder):
    """Reads the recipe of a run of a given name, with overrides."""

    def recipe(name: str, *overrides: str):
        file = tmp_path / f"{name}.yaml"
        file.write_text(
            f"corpus: {{path: '{library_folder}'}}\noutput: '{tmp_path / name}'\nencoder: {{max_seq_length: 48, dims: [8]}}\n"
            "prefinetune: {rows: 0}\nfret: {rows: 24, candidates: 4}\nevaluation: {held_out: 0.2, dev_share: 0.0}\n"
        )
        return load_recipe(file, overrides)

    return recipe


def build(recipe) -> tuple[Path, str]:
    """FRet of a recipe; returns the run folder and what the person saw."""
    with Path(os.devnull).open("w") as sink:
        console = Console(file=sink, record=True, width=140)
        folder = pipeline.run(recipe, console, until="fret")
        return folder, console.export_text()


def labels(folder: Path):
    return Dataset.from_parquet(str(folder / "fret" / "labels" / "train.parquet"), keep_in_memory=True).to_list()


def test_the_model_that_is_named_fetches_the_candidates_and_is_on_record(recipe, other, tiny_model_path):
    base = f"encoder.base={tiny_model_path}"
    named = build(recipe("named", base, f"retriever.base={other}", "retriever.max_seq_length=48"))[0]
    assert labels(named) == labels(build(recipe("as-base", f"encoder.base={other}"))[0])
    assert labels(named) != labels(build(recipe("without", base))[0])

    run = recipe("named", base, f"retriever.base={other}")
    summary = summarise(run, Paths(named), yardstick_name(run))
    assert retriever_of(summary) == {"id": str(other), "version": None, "hub": False}
    assert f"task + query are fetched with `{other}`" in fret_card(summary, Paths(named), "org/fret")


def test_another_retriever_makes_fret_anew_and_leaves_the_pretrained_encoder(recipe, other, tiny_model_path):
    plain = recipe("plain", f"encoder.base={tiny_model_path}", "fret.rows=8")
    named = recipe("plain", f"encoder.base={tiny_model_path}", "fret.rows=8", f"retriever.base={other}")
    paths = open_run_folder(plain, redo=False)
    keys = [
        {step.stage.name: step.key for step in pipeline.plan(r, paths, input_state(r.corpus))} for r in (plain, named)
    ]
    assert {name for name in keys[0] if keys[0][name] == keys[1][name]} == {"corpus", "prefinetune"}
    (other / "modules.json").write_text((other / "modules.json").read_text() + "\n")
    assert pipeline.plan(named, paths, input_state(named.corpus))[2].key != keys[1]["fret"]  # its files count too


def test_a_checkpoint_that_nobody_trained_to_embed_is_told_of(recipe, tiny_model_path):
    bare = f"encoder.base={tiny_model_path.parent / 'bert'}"
    assert "retriever.base=ID names an embedding model" in build(recipe("bare", bare))[1]
    assert "retriever.base" not in build(recipe("helped", bare, f"retriever.base={tiny_model_path}"))[1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["retriever.max_seq_length=48"], "retriever.base is missing"),
        (["retriever.base=/nowhere/at/all"], "retriever.base is '/nowhere/at/all', and no encoder loads from there"),
        (["retriever.base=/nowhere/at/all"], "Give a folder, a Hub id such as BAAI/bge-m3, or package:NAME."),
        (["retriever.base=package:gone"], "No package of the name in 'package:gone'"),
    ],
)
def test_a_retriever_that_is_not_there_is_refused_before_a_folder_is_made(recipe, tiny_model_path, overrides, message):
    with pytest.raises(RecipeError) as refused:
        build(recipe("refused", f"encoder.base={tiny_model_path}", *overrides))
    assert message in str(refused.value)
    assert not recipe("refused").folder.exists()


def test_a_retriever_with_fewer_positions_than_it_is_to_read_is_refused_with_its_own_key(recipe, tiny_model_path):
    with pytest.raises(RecipeError, match=r"retriever\.max_seq_length is 4096, but .* 512 tokens"):
        build(
            recipe(
                "long",
                f"encoder.base={tiny_model_path}",
                f"retriever.base={tiny_model_path}",
                "retriever.max_seq_length=4096",
            )
        )


def test_a_summary_of_an_earlier_version_names_the_base():
    summary = json.loads('{"base": {"id": "org/base", "version": "c", "hub": true, "name": "base"}}')
    assert retriever_of(summary) == {"id": "org/base", "version": "c", "hub": True}
