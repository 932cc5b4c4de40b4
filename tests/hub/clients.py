"""Clients of the loopback Hub, each in a process of its own.

Importing the libraries takes seconds a process, so one process imports them and every client is a fork of it: own memory, own
environment, real HTTP. Scripts run where gecko_hf cannot be imported, as a stranger's would.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).parents[2]
QUIET = {
    "HF_HUB_DISABLE_XET": "1",  # served by the real Hub only
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "HF_HUB_OFFLINE": "0",
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "200",
}


class Clients:
    """Runs commands and scripts against the Hub at `url`; a `with` block keeps the warm process."""

    def __init__(self, url, home):
        places = {"HF_ENDPOINT": url, "HF_HOME": str(home), "PYTHONPATH": str(ROOT)}
        self.environment = os.environ | QUIET | places
        self.environment.pop("HF_TOKEN", None)

    def __enter__(self):
        command = [sys.executable, "-W", "ignore", str(Path(__file__))]
        pipe = subprocess.PIPE
        self._warm = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=self.environment, bufsize=1)
        return self

    def __exit__(self, *_):
        self._warm.stdin.close()
        self._warm.stdout.close()
        self._warm.wait(timeout=60)

    def _ask(self, **job):
        self._warm.stdin.write(json.dumps(job) + "\n")
        return SimpleNamespace(**json.loads(self._warm.stdout.readline()))

    def gecko(self, *arguments, token=None):
        """`gecko-hf ARGUMENTS`: its returncode, stdout and stderr."""
        return self._ask(arguments=["gecko-hf", *map(str, arguments)], token=token)

    def cold_gecko(self, *arguments, token=None, **changes):
        """The same in a new interpreter, for what is read when a library is imported."""
        command = [sys.executable, "-m", "gecko_hf", *map(str, arguments)]
        environment = self.environment | ({"HF_TOKEN": token} if token else {}) | changes
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    def python(self, script, token=None, *, stranger=True):
        """What a script prints as JSON on its last line; a stranger's cannot import gecko_hf."""
        child = self._ask(script="import json\n" + script, token=token, stranger=stranger)
        assert child.returncode == 0, child.stdout + child.stderr
        return json.loads(child.stdout.splitlines()[-1])


def refused(child):
    """The one line that a refused command says."""
    assert child.returncode == 2, child.stdout + child.stderr
    assert "Traceback" not in child.stderr
    lines = [line for line in child.stderr.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1, child.stderr
    return lines[0]


def _warm():
    """Import once, then fork for each line of input."""
    import time

    import sentence_transformers  # noqa: F401

    from gecko_hf.cli.main import main

    time.sleep = lambda _: None  # a cut connection is tried five times over 23 seconds
    for line in sys.stdin:
        job = json.loads(line)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            child = os.fork()
            if not child:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                if job["token"]:
                    os.environ["HF_TOKEN"] = job["token"]
                _work(job, main)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            out.seek(0), err.seek(0)
            answer = {"returncode": code, "stdout": out.read(), "stderr": err.read()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _work(job, main):
    """Run one job in the fork and end it as an interpreter would."""
    import traceback

    code = 0
    try:
        if "arguments" in job:
            sys.argv = job["arguments"]
            main()
        else:
            if job["stranger"]:
                for name in [n for n in sys.modules if n.split(".")[0] == "gecko_hf"]:
                    sys.modules[name] = None
            exec(compile(job["script"], "<script>", "exec"), {"__name__": "__main__"})
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _warm()
