"""The fret stage beside its rows: the queries of held-out passages, what mined, and who wrote."""

import json
import re
from dataclasses import replace

import faiss
import pytest
from rich.console import Console

from gecko_hf import pipeline
from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.errors import CorpusError, LLMError
from gecko_hf.evaluation.yardstick import read_queries
from gecko_hf.fret import mine
from gecko_hf.fret.mine import facts_file
from gecko_hf.hub import facts
from gecko_hf.llm.unigram import UnigramAnnotator
from gecko_hf.progress import View
from gecko_hf.recipe import load_recipe
from gecko_hf.run_folder import open_run_folder
from gecko_hf.stages import fret
from gecko_hf.stages.corpus import corpus_stage
from gecko_hf.stages.run import Run


@pytest.fixture
def build(tmp_path, tiny_model_path, library_folder):
    """Runs the corpus and fret stages of one folder; returns the run and what the stage counts."""
    (tmp_path / "recipe.yaml").write_text(
        f"corpus: {{path: '{library_folder}'}}\nencoder: {{base: '{tiny_model_path}', max_seq_length: 48, dims: [8]}}\n"
        f"fret: {{rows: 12, candidates: 4}}\nevaluation: {{held_out: 0.2, dev_share: 0.0}}\noutput: '{tmp_path / 'run'}'"
    )

    def build(*overrides):
        recipe = load_recipe(tmp_path, overrides)
        run = Run(recipe, open_run_folder(recipe, redo=False), View(Console(quiet=True)))
        run.key = next(
            s.key for s in pipeline.plan(recipe, run.paths, input_state(recipe.corpus)) if s.stage.name == "fret"
        )
        corpus_stage(run)
        return run, fret.fret_stage(run)

    return build


def test_a_held_out_query_that_fails_a_gate_is_set_aside_and_counted(build, tmp_path):
    run, counts = build()
    first, *others = read_queries(run.paths.yardstick)
    assert counts["held_out_set_aside"] == 0
    (tmp_path / "exam.jsonl").write_text(json.dumps({"text": first.text}))
    run, counts = build(f"fret.quality.test_sets=[{tmp_path / 'exam.jsonl'}]")
    assert [(q.text, q.relevant) for q in read_queries(run.paths.yardstick)] == [(q.text, q.relevant) for q in others]
    assert counts["held_out_set_aside"] == 1


def test_more_candidates_than_passages_are_refused_also_where_the_corpus_was_read_before(build):
    run, _ = build()
    recipe = replace(run.recipe, fret=replace(run.recipe.fret, candidates=len(run.passages) + 1))
    with pytest.raises(CorpusError, match=f"lower fret.candidates to at most {len(run.passages)}"):
        fret.fret_stage(Run(recipe, run.paths, run.view))


def test_a_held_out_passage_whose_reply_does_not_parse_is_counted(build, monkeypatch):
    run, _ = build()
    silent, *others = sorted(run.held_out)
    asked = UnigramAnnotator._query
    monkeypatch.setattr(UnigramAnnotator, "_query", lambda self, p: "" if p.key == silent else asked(self, p))
    run, counts = build()
    assert [id for q in read_queries(run.paths.yardstick) for id in q.relevant] == others
    assert counts["held_out_set_aside"] == 1


def test_a_yardstick_without_a_test_query_is_refused_with_what_was_set_aside(build, monkeypatch):
    run, _ = build()
    asked = UnigramAnnotator._query
    monkeypatch.setattr(UnigramAnnotator, "_query", lambda self, p: "" if p.key in run.held_out else asked(self, p))
    with pytest.raises(
        CorpusError, match=f"{len(run.held_out)} passages .* no test query; {len(run.held_out)} were set aside"
    ):
        build()


def test_the_recall_of_an_index_is_told_where_it_mined_and_not_where_it_lies_there_from_before(build, monkeypatch):
    def flat(vectors, file, *_):  # PQ codes need more passages than the library has
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        faiss.write_index(index, str(file))
        facts_file(file).write_text('{"index": "Flat", "recall": 1.0, "recall_at": 4, "queries": 64}')

    monkeypatch.setattr(mine, "build_index", flat)
    run, _ = build("fret.exact_up_to=10")
    assert json.loads((run.paths.fret / "mining.json").read_text())["index"] == "Flat"
    run, _ = build()
    assert [*run.paths.vectors.glob("*.faiss")]
    assert not (run.paths.fret / "mining.json").exists()


def test_held_out_queries_are_written_by_the_model_of_the_rows(build, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fret, "_write_held_out_queries", killed)
    with pytest.raises(KeyboardInterrupt):
        build()
    monkeypatch.undo()
    monkeypatch.setattr(UnigramAnnotator, "revision", "another")
    with pytest.raises(LLMError, match=re.escape("and now unigram at revision another answers")):
        build()


def test_the_prompts_that_were_read_are_noted_for_card_and_provenance(build, monkeypatch):
    run, _ = build()
    noted = run.paths.logs / facts.FRET_PROMPTS
    assert json.loads(noted.read_text(encoding="utf-8")) == {}  # of unigram
    monkeypatch.setattr(facts, "prompts_read", lambda recipe: {"p_qg": f"Of {recipe['name']}."})
    build("name=another", "seed=7")
    assert json.loads(noted.read_text(encoding="utf-8")) == {"p_qg": "Of another."}
