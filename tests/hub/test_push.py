"""A finished run on the Hub, over HTTP with the real clients in processes of their own."""

import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clients import refused
from hub_server import READ_TOKEN, WRITE_TOKEN, Refused
from hub_server.store import Blob

from gecko_hf.run_folder import Paths, read_record, remove_record, write_record

ENCODE = """
from sentence_transformers import SentenceTransformer
model = SentenceTransformer({name!r}, revision={revision!r})
print(json.dumps([model.encode_query(["the oven"]).tolist(), model.encode_document(["yeast and flour"]).tolist()]))
"""
LOAD = """
from datasets import load_dataset
rows = load_dataset({name!r}, {config!r}, split="train", revision={revision!r}, streaming={streaming})
print(json.dumps(list(rows)))
"""


def load(name, config="default", revision=None, streaming=False):
    return LOAD.format(name=name, config=config, revision=revision, streaming=streaming)


def local(run, config):
    return pq.read_table(Paths(run).fret / config / "train.parquet").to_pylist()


def head(hub, kind, name):
    return hub.store.repos[kind, name].branches["main"]


class TestTheDataSet:
    @pytest.mark.parametrize("config", ["default", "labels", "corpus"])
    def test_its_configs_load_with_equal_rows(self, pushed, run, clients, config):
        assert clients.python(load("org/fret", config)) == local(run, config)

    def test_it_streams(self, pushed, run, clients):
        assert clients.python(load("org/fret", streaming=True)) == local(run, "default")

    def test_a_tag_names_it(self, pushed, run, clients):
        assert clients.python(load("org/fret", revision="v1")) == local(run, "default")


def test_the_model_gives_bit_equal_vectors_without_this_package(pushed, run, clients):
    there = clients.python(ENCODE.format(name="org/gecko", revision=None))
    assert there == clients.python(ENCODE.format(name=str(Paths(run).model), revision=None))


def test_a_run_with_held_out_tasks_brings_their_picture(pushed, hub, run, clients, tmp_path):
    copy = Paths(shutil.copytree(run, tmp_path / "run"))
    summary = json.loads((copy.report / "summary.json").read_text(encoding="utf-8"))
    widths = [s["dim"] for s in summary["scores"] if s["role"] == "gecko"]
    summary["task_scores"] = [
        {
            "role": role,
            "dim": dim,
            "task": "Local-find",
            "type": "Retrieval",
            "metric": "m",
            "model": role,
            "value": 0.5,
        }
        for role in ("base", "gecko")
        for dim in widths
    ]
    (copy.report / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    child = clients.gecko("push", "model", copy.root, "org/tasks", token=WRITE_TOKEN)
    assert child.returncode == 0, child.stderr
    files = hub.store.repos["model", "org/tasks"].commits[head(hub, "model", "org/tasks")].files
    assert b"<svg" in files["tasks.svg"].data
    assert b"](tasks.svg)" in files["README.md"].data


def test_the_commands_end_with_the_line_that_loads_it(pushed):
    assert pushed[0].stdout.splitlines()[-1] == 'load_dataset("org/fret", revision="v1")'
    assert pushed[1].stdout.splitlines()[-1] == 'SentenceTransformer("org/gecko", revision="v1")'


@pytest.mark.parametrize(("kind", "type_", "name"), [("fret", "dataset", "org/fret"), ("model", "model", "org/gecko")])
def test_pushed_again_unchanged_it_makes_no_commit(pushed, hub, run, clients, kind, type_, name):
    before = head(hub, type_, name)
    child = clients.gecko("push", kind, run, name, token=WRITE_TOKEN)
    assert child.returncode == 0, child.stderr
    assert "0 files to send" in child.stdout
    assert "holds all of it already" in child.stdout
    assert head(hub, type_, name) == before


def test_a_pinned_revision_stays_what_it_was_after_a_second_push(pushed, hub, run, clients, tmp_path):
    first = head(hub, "dataset", "org/fret")
    changed = shutil.copytree(run, tmp_path / "changed")
    rows = local(run, "default")[:10]
    pq.write_table(pa.Table.from_pylist(rows), Paths(changed).fret / "default" / "train.parquet")
    assert clients.gecko("push", "fret", changed, "org/fret", token=WRITE_TOKEN).returncode == 0
    assert clients.python(load("org/fret")) == rows
    assert clients.python(load("org/fret", revision=first)) == local(run, "default")
    message = refused(clients.gecko("push", "fret", changed, "org/fret", "--tag", "v1", token=WRITE_TOKEN))
    assert "The tag v1 of org/fret names commit" in message
    assert clients.gecko("push", "fret", run, "org/fret", token=WRITE_TOKEN).returncode == 0


def test_a_private_one_needs_a_token(pushed, hub, run, clients, monkeypatch):
    child = clients.gecko("push", "fret", run, "org/hidden", token=WRITE_TOKEN)
    assert "private" in child.stdout, child.stderr
    assert clients.python(load("org/hidden"), token=READ_TOKEN) == local(run, "default")
    monkeypatch.setattr(hub.store.repos["model", "org/gecko"], "private", True)
    assert len(clients.python(ENCODE.format(name="org/gecko", revision="v1"), token=READ_TOKEN)) == 2
    see = "from huggingface_hub import HfApi\nprint(json.dumps(HfApi().repo_exists({!r}, repo_type={!r})))"
    assert clients.python(see.format("org/hidden", "dataset")) is False
    assert clients.python(see.format("org/gecko", "model")) is False


def test_public_is_set_where_it_was_private_and_kept_where_nothing_is_said(hub, run, clients):
    for option, private in (((), True), (("--public",), False), ((), False)):
        clients.gecko("push", "fret", run, "org/turned", *option, token=WRITE_TOKEN)
        assert hub.store.repos["dataset", "org/turned"].private is private


class TestRefusals:
    @pytest.fixture(autouse=True)
    def _nothing_changes(self, hub):
        before = {key: (repo.branches["main"], dict(repo.tags)) for key, repo in hub.store.repos.items()}
        yield
        assert {key: (repo.branches["main"], dict(repo.tags)) for key, repo in hub.store.repos.items()} == before

    def test_no_token(self, run, clients):
        assert "There is no Hub token here" in refused(clients.gecko("push", "fret", run, "org/x"))

    def test_a_wrong_token(self, run, clients):
        child = clients.gecko("push", "fret", run, "org/x", token="hf_wrongwrongwrong")
        assert "The Hub refuses the token (401)" in refused(child)
        assert "hf_wrong" not in child.stdout + child.stderr

    def test_a_read_only_token(self, run, clients):
        child = clients.gecko("push", "fret", run, "org/x", token=READ_TOKEN)
        assert "The Hub token is read-only" in refused(child)

    def test_a_namespace_of_somebody_else(self, run, clients):
        assert "(403)" in refused(clients.gecko("push", "fret", run, "others/x", token=WRITE_TOKEN))

    @pytest.mark.parametrize("name", ["fret", "org/a/b", "org/", "org/a b", "org/x--y"])
    def test_a_name_that_is_no_repository_id(self, run, clients, name):
        assert "is no repository id" in refused(clients.gecko("push", "fret", run, name, token=WRITE_TOKEN))

    def test_a_folder_that_is_no_finished_run(self, clients, tmp_path):
        child = clients.gecko("push", "model", tmp_path, "org/x", token=WRITE_TOKEN)
        assert "is no finished run" in refused(child)

    def test_a_fret_that_was_built_alone_has_no_model_to_push(self, hub, run, clients, tmp_path):
        alone = shutil.copytree(run, tmp_path / "alone")
        shutil.rmtree(alone / "model")
        (alone / "report" / "report.html").unlink()
        child = clients.gecko("push", "fret", alone, "org/alone", token=WRITE_TOKEN)
        assert child.returncode == 0, child.stderr
        del hub.store.repos["dataset", "org/alone"]
        assert "is no finished run" in refused(clients.gecko("push", "model", alone, "org/x", token=WRITE_TOKEN))

    def test_no_network(self, run, clients):
        child = clients.cold_gecko("push", "fret", run, "org/x", token=WRITE_TOKEN, HF_ENDPOINT="http://127.0.0.1:9")
        assert "The connection to the Hub broke off or could not be made" in refused(child)

    def test_the_network_switched_off(self, run, clients):
        child = clients.cold_gecko("push", "fret", run, "org/x", token=WRITE_TOKEN, HF_HUB_OFFLINE="1")
        assert "HF_HUB_OFFLINE is set" in refused(child)

    def test_another_recipes_artefact(self, pushed, run, clients, tmp_path):
        other = shutil.copytree(run, tmp_path / "other")
        summary = Paths(other).report / "summary.json"
        summary.write_text(summary.read_text().replace('"candidates": 6,\n', '"candidates": 5,\n'))
        child = clients.gecko("push", "fret", other, "org/fret", token=WRITE_TOKEN)
        assert "was made with another recipe; it differs in fret.candidates" in refused(child)

    @pytest.mark.parametrize("stage", ["fret", "finetune", "evaluate", "report"])
    def test_a_run_of_which_a_part_was_made_again_or_broke_off_since_its_report(self, run, clients, tmp_path, stage):
        other = Paths(shutil.copytree(run, tmp_path / "other"))
        record = read_record(other, stage)
        remove_record(other, stage)
        said = refused(clients.gecko("push", "model", other.root, "org/x", token=WRITE_TOKEN))
        assert f"Finish it first: gecko-hf {'fret build' if stage == 'fret' else 'run'} {other.root}" in said
        if stage != "report":
            write_record(other, stage, "another key", record["seconds"], record["counts"])
            assert f"{stage} ran again, or is not done, since its" in refused(
                clients.gecko("push", "fret" if stage == "fret" else "model", other.root, "org/x", token=WRITE_TOKEN)
            )

    def test_a_data_set_that_changed_since_it_was_pushed(self, pushed, run, clients, tmp_path):
        other = shutil.copytree(run, tmp_path / "other")
        (Paths(other).fret / "default" / "train.parquet").write_bytes(b"else")
        child = clients.gecko("push", "model", other, "org/gecko", token=WRITE_TOKEN)
        assert "has changed since it was pushed. First: gecko-hf push fret" in refused(child)


def test_files_of_other_origin_are_replaced_by_force_only(hub, run, clients):
    upload = (
        "from huggingface_hub import HfApi\napi = HfApi()\napi.create_repo('org/taken', repo_type='dataset')\n"
        "api.upload_file(path_or_fileobj=b'mine', path_in_repo='thesis.txt', repo_id='org/taken', repo_type='dataset')\n"
        "print(1)"
    )
    clients.python(upload, token=WRITE_TOKEN)
    child = clients.gecko("push", "fret", run, "org/taken", token=WRITE_TOKEN)
    assert "holds 1 files that gecko_hf did not write (thesis.txt, ...)" in refused(child)
    assert clients.gecko("push", "fret", run, "org/taken", "--force", token=WRITE_TOKEN).returncode == 0
    assert clients.python(load("org/taken"), token=READ_TOKEN) == local(run, "default")
    repo = hub.store.repos["dataset", "org/taken"]
    assert "thesis.txt" not in repo.commits[repo.branches["main"]].files


class TestTheCardOnTheHub:
    @pytest.fixture
    def repo(self, hub, run, clients):
        """A pushed data set, with files that somebody else committed."""
        child = clients.gecko("push", "fret", run, "org/cared-for", "--license", "mit", token=WRITE_TOKEN)
        assert child.returncode == 0, child.stderr
        yield hub.store.repos["dataset", "org/cared-for"]
        del hub.store.repos["dataset", "org/cared-for"]

    def files(self, repo):
        return repo.commits[repo.branches["main"]].files

    def change(self, repo, path, data):
        repo.add(self.files(repo) | {path: Blob(data, large=False)}, "theirs")

    def test_a_licence_is_not_taken_back_by_a_push_that_names_none(self, repo, run, clients):
        before = repo.branches["main"]
        child = clients.gecko("push", "fret", run, "org/cared-for", "--public", token=WRITE_TOKEN)
        assert "Licence: mit, which the card of org/cared-for declares" in child.stdout, child.stderr
        assert repo.branches["main"] == before
        clients.gecko("push", "fret", run, "org/cared-for", "--license", "cc0-1.0", token=WRITE_TOKEN)
        assert b"license: cc0-1.0" in self.files(repo)["README.md"].data

    def test_the_licence_that_a_new_repository_was_made_with_stays(self, hub, run, clients):
        repo = hub.store.create("dataset", "org/by-hand", private=True)
        self.change(repo, "README.md", b"---\nlicense: mit\n---\n")  # as the form on the website writes it
        assert clients.gecko("push", "fret", run, "org/by-hand", token=WRITE_TOKEN).returncode == 0
        assert b"license: mit" in self.files(repo)["README.md"].data

    def test_what_was_written_into_it_there_is_not_lost(self, repo, run, clients):
        self.change(repo, ".eval_results/x.yaml", b"x")
        edited = self.files(repo)["README.md"].data + b"\n## MTEB\n"
        self.change(repo, "README.md", edited)
        said = refused(clients.gecko("push", "fret", run, "org/cared-for", token=WRITE_TOKEN))
        assert "The card of org/cared-for was edited since it was pushed" in said
        assert self.files(repo)["README.md"].data == edited
        child = clients.gecko("push", "fret", run, "org/cared-for", "--force", token=WRITE_TOKEN)
        assert child.returncode == 0, child.stderr
        assert b"## MTEB" not in self.files(repo)["README.md"].data
        assert b"license: mit" in self.files(repo)["README.md"].data
        assert ".eval_results/x.yaml" in self.files(repo)


def test_a_commit_of_somebody_else_in_the_meantime_is_not_overwritten(hub, run, clients, monkeypatch):
    assert clients.gecko("push", "fret", run, "org/shared", "--force", token=WRITE_TOKEN).returncode == 0
    repo = hub.store.repos["dataset", "org/shared"]
    note = [
        {"key": "header", "value": {"summary": "theirs"}},
        {"key": "file", "value": {"path": "note.txt", "bytes": b"x"}},
    ]
    theirs = []
    monkeypatch.setitem(hub.meanwhile, "/commit/", lambda: theirs.append(hub.store.commit(repo, note).oid))
    child = clients.gecko("push", "fret", run, "org/shared", "--license", "mit", token=WRITE_TOKEN)  # another card
    assert "Somebody else committed to org/shared in the meantime (412). Run the same command again." in refused(child)
    assert [repo.branches["main"]] == theirs


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (409, "org/busy was being changed by somebody else (409). Run the same command again."),
        (429, "The Hub asks for fewer requests (429). Nothing of org/busy has changed; run the same command later."),
        (500, "The Hub answered 500 for org/busy"),
    ],
)
def test_what_the_hub_says_to_a_commit_is_told_in_one_line_and_the_same_command_goes_on(
    hub, run, clients, monkeypatch, status, said
):
    def refuse():
        raise Refused(status, "Not now")

    monkeypatch.setitem(hub.meanwhile, "/commit/", refuse)
    child = clients.gecko("push", "fret", run, "org/busy", token=WRITE_TOKEN)
    assert said in refused(child)
    assert clients.gecko("push", "fret", run, "org/busy", token=WRITE_TOKEN).returncode == 0
    del hub.store.repos["dataset", "org/busy"]


def test_what_a_program_left_in_the_model_for_itself_is_not_sent(hub, run, clients, tmp_path):
    copy = Paths(shutil.copytree(run, tmp_path / "run"))
    for left in (".DS_Store", ".onnx-killed/onnx/model.onnx", ".ipynb_checkpoints/notes.md"):
        (copy.model / left).parent.mkdir(parents=True, exist_ok=True)
        (copy.model / left).write_bytes(b"mine")
    child = clients.gecko("push", "model", copy.root, "org/clean", token=WRITE_TOKEN)
    assert child.returncode == 0, child.stderr
    files = hub.store.repos["model", "org/clean"].commits[head(hub, "model", "org/clean")].files
    assert "model.safetensors" in files
    assert [path for path in files if path.startswith(".") and path != ".gitattributes"] == []


def test_a_model_that_read_no_fret_links_to_none_and_trace_says_so(pushed, hub, run, clients, tmp_path):
    copy = Paths(shutil.copytree(run, tmp_path / "run"))
    summary = copy.report / "summary.json"
    found = json.loads(summary.read_text(encoding="utf-8"))
    found["recipe"]["finetune"]["mixture"] = {"nq": {"kind": "pairs", "source": "org/nq"}}
    summary.write_text(json.dumps(found), encoding="utf-8")
    child = clients.gecko("push", "model", copy.root, "org/no-fret", "--public", token=WRITE_TOKEN)
    assert child.returncode == 0, child.stderr
    files = hub.store.repos["model", "org/no-fret"].commits[head(hub, "model", "org/no-fret")].files
    assert json.loads(files["provenance.json"].data)["data_set"] is None
    assert b"org/fret" not in files["README.md"].data
    traced = clients.gecko("trace", "org/no-fret")
    assert traced.returncode == 0, traced.stderr
    assert "its recipe trains on no FRet" in traced.stdout


def test_a_push_that_is_refused_makes_nothing_public(hub, run, clients, monkeypatch):
    def refuse():
        raise Refused(409, "Not now")

    assert clients.gecko("push", "fret", run, "org/shy", token=WRITE_TOKEN).returncode == 0
    monkeypatch.setitem(hub.meanwhile, "/commit/", refuse)
    refused(clients.gecko("push", "fret", run, "org/shy", "--public", "--license", "mit", token=WRITE_TOKEN))
    assert hub.store.repos["dataset", "org/shy"].private
    assert clients.gecko("push", "fret", run, "org/shy", "--public", token=WRITE_TOKEN).returncode == 0
    assert not hub.store.repos["dataset", "org/shy"].private
    del hub.store.repos["dataset", "org/shy"]


def test_a_file_over_the_hubs_limit(hub, run, clients, monkeypatch):
    monkeypatch.setattr(hub.store, "max_file", 1000)
    monkeypatch.setattr(hub.store, "large", {})
    child = clients.gecko("push", "fret", run, "org/large", token=WRITE_TOKEN)
    assert "File is larger than 1000 bytes" in refused(child)


def test_a_card_that_the_hub_refuses(hub, run, clients):
    child = clients.gecko("push", "fret", run, "org/card", "--license", "[broken", token=WRITE_TOKEN)
    assert "The Hub refuses the card of org/card: Invalid metadata in README.md" in refused(child)


def test_the_python_of_the_model_card_runs_as_it_stands_and_agrees_with_itself(pushed, clients, hub):
    card = hub.store.repos["model", "org/gecko"].commits[head(hub, "model", "org/gecko")].files["README.md"].data
    blocks = re.findall(r"```python\n(.*?)```", card.decode(), re.DOTALL)
    compare = "print(json.dumps([queries[0].tolist(), vectors[0].tolist()]))"
    one, two = clients.python("\n".join([blocks[0], blocks[1], compare]))
    assert one == pytest.approx(two, abs=1e-6)


def test_no_token_is_left_anywhere(pushed, run, hub, tmp_path, clients):
    clients.gecko("push", "fret", run, "org/fret", token=WRITE_TOKEN)
    places = [f for folder in (run, tmp_path) for f in folder.rglob("*") if f.is_file()]
    assert not [f for f in places if WRITE_TOKEN.encode() in f.read_bytes()]
    stored = [blob for repo in hub.store.repos.values() for c in repo.commits.values() for blob in c.files.values()]
    assert not [blob for blob in stored if WRITE_TOKEN.encode() in blob.data]
    assert not [child for child in pushed if WRITE_TOKEN in child.stdout + child.stderr]
