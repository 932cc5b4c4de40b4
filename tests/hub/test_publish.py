"""What one push refuses to write over, and what is there and is said when it breaks behind its commit."""

import json
import shutil

import pytest
from clients import refused
from hub_server import WRITE_TOKEN, Refused
from hub_server.store import Blob


def head(hub):
    return hub.store.repos["dataset", "org/half"].branches["main"]


class TestAnotherRecipesDataSet:
    @pytest.fixture
    def push(self, hub, run, clients, tmp_path):
        """Pushes the run as if its recipe had another value in a block; the repository is taken away again."""

        def push(block, **values):
            copy = shutil.copytree(run, tmp_path / f"run{len(list(tmp_path.iterdir()))}")
            summary = copy / "report" / "summary.json"
            found = json.loads(summary.read_text(encoding="utf-8"))
            found["recipe"][block] |= values
            summary.write_text(json.dumps(found), encoding="utf-8")
            return clients.gecko("push", "fret", copy, "org/half", token=WRITE_TOKEN)

        assert push("encoder").returncode == 0
        yield push
        del hub.store.repos["dataset", "org/half"]

    def test_is_one_whose_rows_are_others_and_not_one_for_another_model(self, push):
        assert push("encoder", dims=[8]).returncode == 0
        assert "it differs in evaluation.held_out." in refused(push("evaluation", held_out=0.5))

    def test_is_told_by_what_an_earlier_version_put_on_record(self, hub, push):
        repo = hub.store.repos["dataset", "org/half"]
        files = repo.commits[head(hub)].files
        record = json.loads(files["provenance.json"].data)
        del record["recipe"]["evaluation"], record["recipe"]["precision"]
        record["recipe"]["encoder"] |= {"dims": [32, 8], "lora": {"rank": 0}}
        repo.add(files | {"provenance.json": Blob(json.dumps(record).encode(), large=False)}, "of an earlier version")
        assert "it differs in fret.candidates." in refused(push("fret", candidates=5))
        assert push("encoder", dims=[8]).returncode == 0


class TestWhatBreaksAfterTheCommit:
    @pytest.fixture
    def copy(self, run, hub, tmp_path):
        """A run that was not pushed yet; its repository is taken away again."""
        copy = shutil.copytree(run, tmp_path / "run")
        (copy / "hub.json").unlink(missing_ok=True)
        yield copy
        hub.store.repos.pop(("dataset", "org/half"), None)

    def push(self, clients, copy, *options):
        return clients.gecko("push", "fret", copy, "org/half", *options, token=WRITE_TOKEN)

    @pytest.mark.parametrize(
        ("status", "said"),
        [(429, "The Hub asks for fewer requests (429)."), (500, "The Hub answered 500 for org/half: Not now.")],
    )
    def test_a_tag_that_is_refused_leaves_the_commit_on_record(self, hub, clients, copy, monkeypatch, status, said):
        def refuse():
            raise Refused(status, "Not now")

        monkeypatch.setitem(hub.meanwhile, "/tag/", refuse)
        told = refused(self.push(clients, copy, "--tag", "v1"))
        commit = head(hub)
        assert f"{said} The commit {commit} is made, but org/half has no tag v1. The same command goes on" in told
        assert json.loads((copy / "hub.json").read_text(encoding="utf-8"))["fret"]["commit"] == commit
        assert self.push(clients, copy, "--tag", "v1").returncode == 0
        assert hub.store.repos["dataset", "org/half"].tags == {"v1": commit}

    def test_one_that_is_not_made_public_is_said_to_be_private_and_the_same_command_goes_on(
        self, hub, clients, copy, monkeypatch
    ):
        def refuse():
            raise Refused(429, "Not now")

        assert self.push(clients, copy).returncode == 0
        (copy / "hub.json").unlink()
        monkeypatch.setitem(hub.meanwhile, "/settings", refuse)
        options = ("--public", "--tag", "v1", "--license", "mit")
        told = refused(self.push(clients, copy, *options))
        commit = head(hub)
        assert f"The commit {commit} is made, but org/half is still private and has no tag v1." in told
        assert "has changed" not in told
        assert json.loads((copy / "hub.json").read_text(encoding="utf-8"))["fret"]["commit"] == commit
        assert self.push(clients, copy, *options).returncode == 0
        assert not hub.store.repos["dataset", "org/half"].private

    def test_a_connection_that_breaks_is_not_said_to_have_changed_nothing(self, hub, clients, copy, monkeypatch):
        monkeypatch.setitem(hub.meanwhile, "/tag/", lambda: (hub.cut_after(-1), hub.take(0)))
        told = refused(self.push(clients, copy, "--tag", "v1"))
        hub.mend()
        assert "The connection to the Hub broke off or could not be made" in told
        assert f"The commit {head(hub)} is made, but org/half has no tag v1." in told
        assert "has not changed" not in told
