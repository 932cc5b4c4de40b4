import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from reading import read

from gecko_hf.corpus.files import find_files, is_hub_id, read_files
from gecko_hf.corpus.passages import Passage, SetAside
from gecko_hf.corpus.recipe import CorpusRecipe
from gecko_hf.corpus.split import count_words
from gecko_hf.corpus.store import write_corpus
from gecko_hf.errors import CorpusError

SENTENCES = " ".join(f"Sentence number {i} says something of its own." for i in range(30))


def write_rows(file: Path, *rows: object) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


# Rows


def test_a_row_that_fits_is_one_passage_with_its_own_id(tmp_path: Path):
    file = write_rows(tmp_path / "a.jsonl", {"id": 7, "title": "T", "text": " One.\n\nTwo. ", "more": [1]})
    assert read(file).passages == [Passage("7", "T", "One.\n\nTwo.")]


def test_a_row_with_long_text_is_split_and_keeps_its_title(tmp_path: Path):
    file = write_rows(tmp_path / "a.jsonl", {"id": "x", "title": "T", "text": SENTENCES})
    passages = read(file, max_words=100).passages
    assert [p.id for p in passages] == ["x#0", "x#1", "x#2"]
    assert {p.title for p in passages} == {"T"}
    assert " ".join(p.text for p in passages) == SENTENCES


def test_rows_without_an_id_are_numbered_and_without_a_title_have_none(tmp_path: Path):
    write_rows(
        tmp_path / "a.jsonl", {"text": "One."}, {"text": "Two.", "id": None, "title": None}, {"text": "3", "id": ""}
    )
    (tmp_path / "b.csv").write_text("text\nFour.\n", encoding="utf-8")
    datasets.Dataset.from_list([{"text": "Five.", "title": float("nan")}]).to_parquet(tmp_path / "c.parquet")
    assert read(tmp_path).passages == [
        Passage("a.jsonl#1", "", "One."),
        Passage("a.jsonl#2", "", "Two."),
        Passage("a.jsonl#3", "", "3"),
        Passage("b.csv#1", "", "Four."),
        Passage("c.parquet#1", "", "Five."),
    ]


def test_the_columns_can_be_named(tmp_path: Path):
    file = write_rows(tmp_path / "a.jsonl", {"key": "k", "head": "H", "body": "B.", "id": "i", "text": 3})
    assert read(file, id_column="key", title_column="head", text_column="body").passages == [Passage("k", "H", "B.")]
    assert read(file, id_column="", title_column="", text_column="body").passages == [Passage("a.jsonl#1", "", "B.")]


def test_csv_cells_may_hold_line_ends_quotes_and_very_long_text(tmp_path: Path):
    long = "word " * 40_000
    (tmp_path / "a.csv").write_text(f'\ufeffid,text\n1,"One ""quoted"",\ntext."\n\n2,{long}\n', encoding="utf-8")
    passages = read(tmp_path / "a.csv").passages
    assert passages[0] == Passage("1", "", 'One "quoted",\ntext.')
    assert sum(count_words(p.text) for p in passages[1:]) == 40_000


def test_a_corpus_that_was_written_as_parquet_reads_back(tmp_path: Path):
    given = [Passage(f"p{i}", "T", f"Text {i}.") for i in range(3000)]
    write_corpus(given, tmp_path)
    assert read(tmp_path).passages == given


def test_a_column_that_resembles_nothing_is_not_guessed(tmp_path: Path):
    write_rows(tmp_path / "a.jsonl", {"heading": "a", "body": "b"})
    with pytest.raises(CorpusError, match=r"for example corpus\.text_column=COLUMN"):
        read(tmp_path)


def test_a_missing_text_column_is_refused_with_the_nearest_one(tmp_path: Path):
    rows = [{"name": "a", "contents": "b"}]
    write_rows(tmp_path / "a.jsonl", *rows)
    (tmp_path / "a.csv").write_text("name,contents\na,b\n", encoding="utf-8")
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        with pytest.raises(CorpusError, match=rf"^{name} .*'text'.*'name', 'contents'.*corpus\.text_column=contents"):
            read(tmp_path / name)


@pytest.mark.parametrize("key", ["title_column", "id_column"])
def test_a_column_that_is_named_and_missing_is_refused_with_the_nearest_one(tmp_path: Path, key: str):
    write_rows(tmp_path / "a.jsonl", {"text": "a", "headline": "b"})
    with pytest.raises(CorpusError, match=rf"^a.jsonl has no column 'headlin'.*corpus\.{key}=headline"):
        read(tmp_path / "a.jsonl", **{key: "headlin"})


def test_two_columns_of_one_name_are_refused(tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,id,text\na,b,c\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"a\.csv has 2 columns 'text'"):
        read(tmp_path / "a.csv")


# What is set aside


def test_files_that_are_no_text_are_set_aside(tmp_path: Path):
    (tmp_path / "good.txt").write_text("Good.", encoding="utf-8")
    (tmp_path / "binary.txt").write_bytes(b"\x7fELF\0\0")
    (tmp_path / "binary.jsonl").write_bytes(b"\0\1\2")
    (tmp_path / "utf16.md").write_text("Text.", encoding="utf-16")
    (tmp_path / "latin.txt").write_bytes("one\ntwo é\n".encode("latin-1"))
    (tmp_path / "empty.md").touch()
    (tmp_path / "headings.md").write_text("# Only\n## Headings", encoding="utf-8")
    (tmp_path / "header.csv").write_text("id,text\n", encoding="utf-8")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 is how it begins")
    (tmp_path / "paper.PDF").write_bytes(b"%PDF")
    (tmp_path / "Makefile").touch()
    corpus = read(tmp_path)
    aside = {item.where: item.reason for item in corpus.set_aside}
    assert [p.id for p in corpus.passages] == ["good.txt#0000"]
    assert aside.pop("bad.parquet:1").startswith("is not parquet")
    assert aside == {
        "Makefile": "unsupported format: no suffix",
        "paper.PDF": "unsupported format: .pdf",
        "binary.txt": "is binary, or not UTF-8",
        "binary.jsonl": "is binary, or not UTF-8",
        "utf16.md": "is binary, or not UTF-8",
        "latin.txt:2": "is not UTF-8; the whole file is left out",
        "empty.md": "holds no text",
        "headings.md": "holds no text",
        "header.csv": "holds no text",
    }


def test_html_that_its_parser_refuses_is_set_aside(tmp_path: Path):
    (tmp_path / "good.txt").write_text("Good.", encoding="utf-8")
    (tmp_path / "odd.html").write_text("<p>Odd.</p><![foo[bar]]>", encoding="utf-8")
    corpus = read(tmp_path)
    # Later versions of Python refuse nothing.
    assert len(corpus.passages) + len(corpus.set_aside) == 2
    assert corpus.set_aside in ([], [SetAside("odd.html", "holds HTML that cannot be parsed")])


def test_lines_that_are_no_rows_with_text_are_set_aside(tmp_path: Path):
    lines = [
        b'{"text": "Good."}',
        b'{"text": ',
        b"[1]",
        b"",
        b'{"title": "no text"}',
        b'{"text": null}',
        b'{"text": "  "}',
        b'{"text": 3}',
        b'{"text": "caf\xe9"}',
        b'{"text": "\\ud800"}',
        b'{"text": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"text": "Last."}',
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    corpus = read(tmp_path / "a.jsonl")
    assert [p.text for p in corpus.passages] == ["Good.", "Last."]
    assert corpus.set_aside == [
        SetAside("a.jsonl:2", "is not JSON: Expecting value at column 9"),
        SetAside("a.jsonl:3", "is a JSON list, not an object"),
        SetAside("a.jsonl:5", "has no text"),
        SetAside("a.jsonl:6", "has no text"),
        SetAside("a.jsonl:7", "has no text"),
        SetAside("a.jsonl:8", "has a text of type int, not a string"),
        SetAside("a.jsonl:9", "holds bytes or characters that are not UTF-8"),
        SetAside("a.jsonl:10", "holds bytes or characters that are not UTF-8"),
        SetAside("a.jsonl:11", "is not JSON that can be read"),
        SetAside("a.jsonl:12", "is not JSON that can be read"),
    ]


def test_csv_lines_that_are_no_rows_with_text_are_set_aside(tmp_path: Path):
    text = 'id,text\n1,Good.\n2,\n3,a,b\n4\n"5"x,y\n6,Last.\n7,"open'
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    corpus = read(tmp_path / "a.csv")
    assert [p.id for p in corpus.passages] == ["1", "6"]
    assert [item.where for item in corpus.set_aside] == [f"a.csv:{line}" for line in (3, 4, 5, 6, 8)]


def test_what_a_folder_holds_besides_plain_files_is_set_aside_and_never_waited_for(tmp_path: Path):
    (tmp_path / "a.txt").write_text("Text.", encoding="utf-8")
    (tmp_path / "linked.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "broken.txt").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.txt")
    corpus = read(tmp_path)
    assert [p.id for p in corpus.passages] == ["a.txt#0000", "linked.txt#0000"]
    assert [item.where for item in corpus.set_aside] == ["broken.txt", "loop", "pipe.txt"]


def test_a_file_name_that_is_not_utf_8_gives_an_id_and_a_title_that_are(tmp_path: Path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("Text.", encoding="utf-8")
    write_corpus(read(tmp_path).passages, tmp_path / "written")
    assert read(tmp_path / "written").passages == [Passage(r"caf\udce9.txt#0000", r"caf\udce9", "Text.")]


# What is refused


@pytest.mark.parametrize(
    "path", ["./no/where", "/no/where", "no_where", "~/no_where", "org/name.md", "a/b/c", "~x/y", "a\0b"]
)
def test_a_path_that_is_not_there_is_refused_without_asking_the_hub(path: str):
    assert not is_hub_id(path)
    with pytest.raises(CorpusError, match="no file or folder"):
        read(path)


def test_no_path_is_refused():
    with pytest.raises(CorpusError, match=r"corpus\.path is empty"):
        list(read_files(CorpusRecipe()))


def test_runs_below_the_text_are_no_text(tmp_path: Path):
    """With `corpus.path=.` a run would read what it has written, and be another run at its next start."""
    write_rows(tmp_path / "a.jsonl", {"text": "one"})
    run = tmp_path / "runs" / "mine"
    (run / "tasks").mkdir(parents=True)
    write_rows(run / "tasks" / "b.jsonl", {"text": "two"})
    (run / "recipe.yaml").write_text("recipe: {}")
    (run / "logs").mkdir()
    files, others = find_files(tmp_path)
    assert list(files) == ["a.jsonl"]
    assert [(other.where, other.reason[:15]) for other in others] == [("runs/mine", "folder of a run")]


def test_a_folder_without_a_supported_file_is_refused_with_what_it_holds(tmp_path: Path):
    with pytest.raises(CorpusError, match="found nothing"):
        read(tmp_path)
    for name in ("a.pdf", "b.pdf", "c.docx"):
        (tmp_path / name).touch()
    with pytest.raises(CorpusError, match=r"1 x unsupported format: \.docx; 2 x .*\.pdf.*Supported: \.csv .*\.txt"):
        read(tmp_path)
    with pytest.raises(CorpusError, match=r"1 x unsupported format: \.pdf"):
        read(tmp_path / "a.pdf")


def test_a_corpus_without_any_text_is_refused_with_the_reasons(tmp_path: Path):
    (tmp_path / "a.txt").write_text(" \n", encoding="utf-8")
    write_rows(tmp_path / "b.jsonl", {"text": ""})
    with pytest.raises(
        CorpusError, match=r"no text that can be used(?s:.*)a\.txt: holds no text\n  b\.jsonl:1: has no text"
    ):
        read(tmp_path)


@pytest.fixture
def unprivileged_folder() -> Iterator[Path]:
    """A folder of somebody without special rights, who runs the test: root may read everything."""
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()
    if user == 0:
        os.chown(folder, 65534, -1)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(user)
        for path in folder.iterdir():
            path.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_what_may_not_be_read_is_refused_alone_and_set_aside_among_others(unprivileged_folder: Path):
    for name in ("good.txt", "secret.txt", "inner.txt"):
        (unprivileged_folder / name).write_text("Text.", encoding="utf-8")
    (unprivileged_folder / "secret.txt").chmod(0)
    (unprivileged_folder / "locked").mkdir(mode=0)
    for name in ("secret.txt", "locked", "locked/inner.txt"):
        with pytest.raises(CorpusError, match=r"may not be read \(Permission denied\)"):
            read(unprivileged_folder / name)
    corpus = read(unprivileged_folder)
    assert [p.id for p in corpus.passages] == ["good.txt#0000", "inner.txt#0000"]
    assert [item.where for item in corpus.set_aside] == ["locked", "secret.txt"]


# The Hub


def test_a_stream_that_breaks_off_is_refused_as_a_data_set_that_does_not_come(monkeypatch: pytest.MonkeyPatch):
    def rows() -> Iterator[dict[str, str]]:
        yield {"text": "Hello."}
        raise ConnectionError("the connection was reset")

    broken = datasets.IterableDataset.from_generator(
        rows, features=datasets.Features({"text": datasets.Value("string")})
    )
    monkeypatch.setattr("gecko_hf.corpus.files._open", lambda name, recipe: broken)
    with pytest.raises(CorpusError, match=r"no split 'train' of a Hub data set.*the connection was reset"):
        read("org/name", rows=5)


@pytest.mark.parametrize("offline", [False, True])
def test_a_hub_data_set_that_does_not_come_is_refused_with_both_possibilities(tmp_path: Path, offline: bool):
    code = (
        "from gecko_hf.corpus.files import at_commit, read_files\nfrom gecko_hf.corpus.recipe import CorpusRecipe\n"
        "from gecko_hf.errors import CorpusError\n"
        "try:\n    list(read_files(at_commit(CorpusRecipe(path='org/name'))))\nexcept CorpusError as error:\n    print(error)\n"
    )
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1", "HF_HOME": str(tmp_path)}
    closed["HF_HUB_OFFLINE"] = str(int(offline))
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | closed, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("There is no file or folder 'org/name', and no split 'train' of a Hub data set")
    assert ("OfflineMode" if offline else "Connection refused") in done.stdout


@pytest.mark.parametrize("option", [{"config": "en", "rows": 3}, {"revision": "main"}, {"split": "test"}])
def test_options_of_a_hub_data_set_are_refused_with_a_file(tmp_path: Path, option: dict[str, Any]):
    (tmp_path / "a.txt").write_text(SENTENCES)
    with pytest.raises(CorpusError, match=rf"on this machine; corpus\.{next(iter(option))} belongs to"):
        read(tmp_path, **option)


@pytest.mark.parametrize("name", ["org/name", "my-org/data_set.v2"])
def test_a_hub_id_is_known_by_its_form(name: str):
    assert is_hub_id(name)


# Progress


def test_progress_counts_files(tmp_path: Path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("Text.", encoding="utf-8")
    seen: list[tuple[int, int | None]] = []
    list(read_files(CorpusRecipe(path=str(tmp_path)), lambda done, total: seen.append((done, total))))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert list(find_files(tmp_path)[0]) == ["a.txt", "b.txt"]


def test_rows_of_a_file_end_where_the_recipe_says(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"id": str(i), "text": SENTENCES}) + "\n" for i in range(5)))
    assert len(read(tmp_path / "a.jsonl", rows=3).passages) == 3


def test_compressed_rows_are_read_and_a_file_that_was_cut_off_is_named(tmp_path: Path):
    lines = "".join(json.dumps({"id": str(i), "text": f"A line that says {i * i}."}) + "\n" for i in range(4000))
    whole = gzip.compress(lines.encode())
    (tmp_path / "a.jsonl.gz").write_bytes(whole)
    assert len(read(tmp_path).passages) == 4000
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.txt").write_text(SENTENCES)
    (aside,) = read(tmp_path).set_aside
    assert aside.where == "a.jsonl.gz"
    assert "cannot be read" in aside.reason
