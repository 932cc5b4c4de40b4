"""A push whose connection is cut: no reader ever sees half of it, and the same command finishes it."""

import json
import random
import shutil
import threading
import urllib.request

import pyarrow.parquet as pq
import pytest
from clients import refused
from hub_server import WRITE_TOKEN, HubServer

from gecko_hf.run_folder import Paths


class Reader(threading.Thread):
    """Polls what `main` of a data set holds, as path -> hash, over a connection of its own."""

    def __init__(self, url, repo):
        super().__init__(daemon=True)
        self.url = f"{url}/api/datasets/{repo}/tree/main?recursive=true"
        self.seen, self.polls, self.stopped = [], 0, threading.Event()

    def run(self):
        while not self.stopped.wait(0.005):
            with urllib.request.urlopen(self.url) as answer:
                state = {f["path"]: f["oid"] for f in json.load(answer) if f["type"] == "file"}
            self.polls += 1
            if state not in self.seen:
                self.seen.append(state)


def state_of(repo):
    files = repo.commits[repo.branches["main"]].files
    return {path: blob.oid for path, blob in files.items()}


def push_with_cuts(finished_run, hub, clients, folder, cuts):
    """Push a run over an older one, cut off at shares of its bytes; yields the reader and the states before and after."""
    run = shutil.copytree(finished_run, folder / "run")
    older = shutil.copytree(finished_run, folder / "older")
    rows = Paths(older).fret / "default" / "train.parquet"
    pq.write_table(pq.read_table(rows).slice(0, 10), rows)

    def push(folder, name):
        return clients.gecko("push", "fret", folder, name, "--public", token=WRITE_TOKEN)

    with HubServer(hub.store) as readers:
        assert push(older, "org/measured").returncode == 0
        hub.store.large.clear()  # what earlier pushes sent would not be sent again
        start = hub.received
        assert push(run, "org/measured").returncode == 0
        whole = hub.received - start
        for i, share in enumerate(cuts):
            name = f"org/cut-{i}"
            assert push(older, name).returncode == 0
            hub.store.large.clear()
            repo = hub.store.repos["dataset", name]
            before = state_of(repo)
            reader = Reader(readers.url, name)
            reader.start()
            hub.cut_after(int(share * whole))
            message = refused(push(run, name))
            assert "The connection to the Hub broke off" in message
            hub.mend()
            again = push(run, name)
            assert again.returncode == 0, again.stderr
            reader.stopped.set()
            reader.join()
            yield reader, before, state_of(repo)


def check(finished_run, hub, clients, folder, cuts):
    complete = []
    for reader, before, after in push_with_cuts(finished_run, hub, clients, folder, cuts):
        assert reader.polls > 1
        assert [state for state in reader.seen if state not in (before, after)] == []
        complete.append({path: oid for path, oid in after.items() if path not in ("README.md", "provenance.json")})
    assert all(state == complete[0] for state in complete)


@pytest.fixture(autouse=True)
def _large_files_come_back(hub):
    kept = dict(hub.store.large)
    yield
    hub.mend()
    hub.store.large.update(kept)


def test_cut_in_the_middle_it_is_finished_by_the_same_command(finished_run, hub, clients, tmp_path):
    check(finished_run, hub, clients, tmp_path, [0.5])


@pytest.mark.slow
def test_cut_at_ten_random_points_no_reader_sees_a_mixed_state(finished_run, hub, clients, tmp_path):
    draw = random.Random(6)
    check(finished_run, hub, clients, tmp_path, [draw.uniform(0.02, 0.98) for _ in range(10)])
