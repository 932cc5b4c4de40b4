"""From a model on the Hub back to the corpus; every link that does not hold is named."""

import json

import pytest
from clients import refused
from hub_server.store import Blob

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
