"""Where a run went on on another machine, each part is told with the machine and the versions that made it."""

import json
import shutil

import pytest

from gecko_hf.hub.cards import fret_card, model_card
from gecko_hf.hub.facts import energy
from gecko_hf.hub.provenance import fret_provenance
from gecko_hf.hub.summary import summarise
from gecko_hf.recipe import load_run_recipe
from gecko_hf.run_folder import Paths, read_record, write_json


class TestARunThatWentOnOnAnotherMachine:
    @pytest.fixture
    def moved(self, paths, tmp_path):
        """A run whose FRet was made on one machine, and whose model was trained and measured on two others."""
        copy = Paths(shutil.copytree(paths.root, tmp_path / "run"))
        for stage in ("fret", "finetune", "evaluate"):
            record = read_record(copy, stage)
            versions = record["environment"]["versions"] | {"gecko-hf": f"0.{stage}", "mteb": f"2.{stage}"}
            record["environment"] = {"python": "3.12", "machine": f"the {stage} machine, 4 cores", "versions": versions}
            write_json(record, copy.logs / f"{stage}.json")
        return copy

    @pytest.fixture
    def told(self, moved):
        return summarise(load_run_recipe(moved.root), moved, ("a", "b"))

    def test_has_the_machine_of_fine_tuning_and_the_versions_of_the_scores_on_the_models_card(self, told, moved):
        card = model_card(told, moved, "org/gecko", None)
        assert "Hardware: the finetune machine, 4 cores." in card
        assert "computed by mteb 2.evaluate." in card
        assert "Energy: not measured." in card

    def test_has_its_own_machine_and_versions_on_the_data_sets(self, told, moved):
        card = fret_card(told, moved, "org/fret")
        assert "on the fret machine, 4 cores." in card
        assert "with gecko_hf 0.fret." in card
        assert json.loads(fret_provenance(told, moved, {}, b""))["versions"]["mteb"] == "2.fret"

    def test_has_of_a_stage_of_an_earlier_version_what_the_folder_tells(self, told, moved, real):
        for stage in ("fret", "finetune", "evaluate"):
            record = read_record(moved, stage)
            del record["environment"]
            write_json(record, moved.logs / f"{stage}.json")
        earlier = summarise(load_run_recipe(moved.root), moved, ("a", "b"))
        assert [earlier[key] for key in ("machine", "python", "versions")] == [
            real[key] for key in ("machine", "python", "versions")
        ]

    def test_has_no_energy_that_is_not_of_one_machine(self, summary):
        summary |= {"machine": "Linux, a processor, 4 cores"}
        other = {"environment": {"machine": "Linux, another, 64 cores"}}
        assert energy(summary) is not None
        assert energy(summary | {"stages": [summary["stages"][0], summary["stages"][1] | other]}) is None
