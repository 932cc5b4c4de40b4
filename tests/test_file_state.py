import os

import gecko_hf.file_state as module
from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.corpus.recipe import CorpusRecipe
from gecko_hf.file_state import file_state
from gecko_hf.source import state


def written(file, text, when=1_000):
    file.write_text(text, encoding="utf-8")
    os.utime(file, (when, when))
    return file


class TestFileState:
    def test_a_copy_is_the_same_file_whatever_its_time(self, tmp_path):
        assert file_state(written(tmp_path / "a", "text")) == file_state(written(tmp_path / "b", "text", when=2_000))

    def test_other_text_of_the_same_size_and_time_is_another(self, tmp_path):
        assert file_state(written(tmp_path / "a", "text")) != file_state(written(tmp_path / "b", "next"))

    def test_a_large_file_is_known_by_size_and_time_and_not_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "READ", 3)
        first = file_state(written(tmp_path / "a", "text"))
        assert first == file_state(written(tmp_path / "b", "next"))
        assert first != file_state(written(tmp_path / "a", "text", when=2_000))


def test_data_that_were_copied_do_not_begin_a_run_anew(tmp_path):
    for name, when in (("data", 1_000), ("copy", 2_000)):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "rows.jsonl", '{"text": "a"}\n', when)
    first, second = (str(tmp_path / name) for name in ("data", "copy"))
    assert input_state(CorpusRecipe(source="files", path=first)) == input_state(
        CorpusRecipe(source="files", path=second)
    )
    assert state(first) == state(second)
    written(tmp_path / "copy" / "rows.jsonl", '{"text": "b"}\n', 1_000)
    assert state(first) != state(second)
