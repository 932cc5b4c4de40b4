"""What a pushed model has on record of where it comes from."""

import json

from gecko_hf.hub.provenance import model_provenance


def test_a_mixture_is_on_record_with_commits_rows_and_what_was_set_aside(summary):
    told = {"kind": "pairs", "source": "org/nq", "revision": "c" * 40}
    mixed = {"finetune": {"nq": {"rows": 9, "set_aside": {"short": 1}, "recipe": told}}}
    record = json.loads(model_provenance(summary | {"mixtures": mixed}, {}, b"", None))
    assert record["mixtures"] == mixed
