"""Before a model is pushed: does it load where this package is not, and does it give the vectors that it gives here?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from gecko_hf.errors import HubError

TEXTS = (
    "find an element in a sorted array",
    "Find indices where elements should be inserted to maintain order. " * 20,  # longer than what is read
    "naïve café, 東京, 🙂",
)

# What a stranger runs: no gecko_hf, no trust_remote_code, no network.
STRANGER = """
import json, sys
sys.modules["gecko_hf"] = None
import numpy as np
from sentence_transformers import SentenceTransformer

folder, texts, out = sys.argv[1:]
model = SentenceTransformer(folder, device="cpu")
vectors = {name: model.encode(json.loads(texts), prompt_name=name) for name in model.prompts}
np.savez(out, **vectors)
"""


def check_loads_anywhere(folder: Path) -> int:
    """Load a saved model in a fresh process and compare its vectors with those of this process, prompt by prompt.

    There, every prompt of the model is named; here, it is written in front of the text by hand.

    Args:
        folder: The saved model.

    Returns:
        How many prompts were compared.

    Raises:
        HubError: If it does not load there, or a vector is not equal bit by bit.
    """
    there = _vectors_of_a_stranger(folder)
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    if set(there) != set(model.prompts) or not there:
        raise HubError(f"{folder} has the prompts {sorted(there)} in a fresh process and {sorted(model.prompts)} here.")
    for name, prefix in model.prompts.items():
        here = model.encode([f"{prefix}{text}" for text in TEXTS], prompt="", show_progress_bar=False)
        if not np.array_equal(here, there[name]):
            most = float(np.abs(here - there[name]).max())
            raise HubError(
                f"With the prompt {name!r}, {folder} gives other vectors in a fresh process than here (by up to {most:.1e}). "
                "It was not pushed; run the training stage again."
            )
    return len(there)


def _vectors_of_a_stranger(folder: Path) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "vectors.npz"
        command = [sys.executable, "-W", "ignore", "-c", STRANGER, str(folder), json.dumps(TEXTS), str(out)]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        child = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if child.returncode:
            last = child.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            raise HubError(
                f"{folder} does not load in a fresh process without gecko_hf and without trust_remote_code: {last[0]} "
                "It was not pushed."
            )
        with np.load(out) as found:
            return {name: found[name] for name in found.files}
