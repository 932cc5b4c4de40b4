"""The rows that steps leave for each other."""

from gecko_hf.fret.work import WorkFolder


def test_rows_are_read_as_they_were_written_whatever_separates_the_lines_of_their_texts(tmp_path):
    rows = [{"query": "one\u2028two\u2029three\u0085four\x1cfive\nsix\r\nseven"}, {"query": "next"}]
    work = WorkFolder(str(tmp_path))
    work.write_lines("rows.jsonl", rows)
    assert work.read_lines("rows.jsonl") == rows
    work.write_lines("none.jsonl", [])
    assert work.read_lines("none.jsonl") == []
