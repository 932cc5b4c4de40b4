"""One push step by step: what is there, and what is said, when it breaks behind its commit."""

import json
import shutil

import pytest
from clients import refused
from hub_server import WRITE_TOKEN, Refused


def head(hub):
    return hub.store.repos["dataset", "org/half"].branches["main"]


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
