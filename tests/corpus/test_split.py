import random
from pathlib import Path

import pytest
from reading import read, read_text

from gecko_hf.corpus.split import count_words, split_text

SENTENCES = " ".join(f"Sentence number {i} says something of its own." for i in range(30))


# Documents


def test_markdown_gives_passages_under_their_heading_paths(tmp_path: Path):
    text = (
        "# Guide\nWelcome.\n\n## Install\nFirst *this*.\n\n### Linux\nThen `that`.\n\n## Use\nEnjoy [it](http://a.b)."
    )
    assert read_text(tmp_path, "a.md", text) == [
        ("Guide", "Welcome."),
        ("Guide > Install", "First this."),
        ("Guide > Install > Linux", "Then that."),
        ("Guide > Use", "Enjoy it."),
    ]


def test_markdown_keeps_code_tables_lists_and_html_as_text(tmp_path: Path):
    text = (
        "```python\ndef f(x):\n\n    return x\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n1. one\n2. two\n   - three\n\n"
        "<details><summary>More</summary>\n\nHidden **text**.\n\n</details>\n\n<!-- nobody reads this -->"
    )
    assert read_text(tmp_path, "code.md", text) == [
        ("code", "def f(x):\n\n    return x\n\na | b\n\n1 | 2\n\none\n\ntwo\n\nthree\n\nMore\n\nHidden text.")
    ]


@pytest.mark.parametrize("head", ['---\ntitle: "The Book"\ndate: 2024-13-45\n---\n', '+++\ntitle = "The Book"\n+++\n'])
def test_front_matter_gives_the_title_and_no_text(tmp_path: Path, head: str):
    assert read_text(tmp_path, "a.md", f"{head}Hello.\n\n# Part\nWorld.") == [
        ("The Book", "Hello."),
        ("The Book > Part", "World."),
    ]


@pytest.mark.parametrize("text", ["---\nJust text.\n\n---\nMore.", "---\n{Just: [text.\n\n---\nMore."])
def test_rulers_are_not_front_matter(tmp_path: Path, text: str):
    [(title, body)] = read_text(tmp_path, "rulers.md", text)[-1:]
    assert body.endswith("More.")
    assert "text." in " ".join(part for pair in read_text(tmp_path, "rulers.md", text) for part in pair)
    assert title


def test_deeply_nested_markdown_is_read(tmp_path: Path):
    lists = "".join("  " * level + f"- item {level}\n" for level in range(30))
    (tmp_path / "a.md").write_text(f"{lists}\nAfter.\n\n{'>' * 40} quoted\n", encoding="utf-8")
    text = " ".join(p.text for p in read(tmp_path / "a.md").passages)
    assert [word for word in text.split() if word != "item"] == [*map(str, range(30)), "After.", "quoted"]


def test_html_gives_text_without_scripts_styles_and_navigation(tmp_path: Path):
    text = """<?xml version="1.0"?><!DOCTYPE html><html><head><title>Install — Lib</title><style>p{}</style></head><body>
    <nav><p>Home</p></nav><div role="navigation"><nav>Next</nav></div><script>alert()</script><!-- note -->
    <h1>Install<a class="headerlink" href="#i">¶</a></h1><p>Hello<br>there <b>you</b>.</p>
    <ul><li>a<ul><li>b</li></ul>tail</li></ul><div>x<hr>y</div><pre>\nfor i:\n    go\n</pre>
    <table><tr><th>n</th><th>m</th></tr><tr><td>1</td><td>2</td></tr></table><h2>Notes</h2>Bare text.</body></html>"""
    assert read_text(tmp_path, "page.html", text) == [
        ("Install", "Hello there you.\n\na\n\nb\n\ntail\n\nx\n\ny\n\nfor i:\n    go\n\nn | m\n\n1 | 2"),
        ("Install > Notes", "Bare text."),
    ]


@pytest.mark.parametrize("tag", ["<script>", "<TITLE>", "<nav>", "<template>", "<noscript>", "<style>", "<h2>"])
def test_a_tag_in_markdown_prose_that_nothing_closes_is_a_word(tmp_path: Path, tag: str):
    text = f"Start with npm run {tag} and wait.\n\nThen rest.\n\n## Use\n\nEnjoy <nav>no menu</nav>.\n"
    assert read_text(tmp_path, "a.md", text) == [
        ("a", f"Start with npm run {tag} and wait.\n\nThen rest."),
        ("Use", "Enjoy ."),
    ]


@pytest.mark.parametrize("tag", ["<script>", "<nav class='top'>", "<title>"])
def test_html_that_a_tag_would_hide_to_its_end_is_read_without_the_tag(tmp_path: Path, tag: str):
    text = f"<h1>Guide</h1><p>One.</p>{tag}<p>Two.</p><h2>Use</h2><p>Three.</p>"
    assert read_text(tmp_path, "a.html", text) == [("Guide", "One.\n\nTwo."), ("Guide > Use", "Three.")]


def test_a_heading_ends_where_a_block_begins_behind_its_text(tmp_path: Path):
    mistyped = "<p>Intro.</p><h2>Usage<h2><p>One.</p>Bare.<h2>Next</h2><p>Two.</p>"
    assert read_text(tmp_path, "a.html", mistyped) == [("a", "Intro."), ("Usage", "One.\n\nBare."), ("Next", "Two.")]
    blocks = "<h1><div>Title</div><p>Below it.</p>Bare.</h1><p>One.</p>"
    assert read_text(tmp_path, "b.html", blocks) == [("Title", "Below it.\n\nBare.\n\nOne.")]


def test_an_html_title_stands_above_headings_that_say_something_else(tmp_path: Path):
    text = "<title>Manual</title><p>Preface.</p><h2>Install</h2><p>Do it.</p>"
    assert read_text(tmp_path, "a.htm", text) == [("Manual", "Preface."), ("Manual > Install", "Do it.")]


def test_deeply_nested_html_is_read(tmp_path: Path):
    [(_, body)] = read_text(tmp_path, "deep.html", "<div>" * 5000 + "bottom")
    assert body == "bottom"


def test_rst_headings_are_found_by_their_lines_and_the_rest_stays_as_it_is(tmp_path: Path):
    text = """
=====
Guide
=====

Some ``text``::

    code here
      more

.. _install:

Install
-------
Do it.
Not a
heading
-------

Linux
~~~~~
====  ====
x     y
====  ====

Use
---
Enjoy.
"""
    assert read_text(tmp_path, "a.rst", text) == [
        ("Guide", "Some ``text``::\n\n    code here\n      more\n\n.. _install:"),
        ("Guide > Install", "Do it.\nNot a\nheading\n-------"),
        ("Guide > Install > Linux", "====  ====\nx     y\n====  ===="),
        ("Guide > Use", "Enjoy."),
    ]


def test_plain_text_has_the_name_of_its_file_for_a_title(tmp_path: Path):
    assert read_text(tmp_path, "notes.txt", "One.\n\nTwo.\r\n\r\nThree.") == [("notes", "One.\n\nTwo.\n\nThree.")]


def test_passages_are_numbered_in_their_file_and_files_sorted_by_path(tmp_path: Path):
    for name in ("b.txt", "a/z.md", "a/b.rst", ".hidden/c.txt", ".d.txt", "UPPER.TXT"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("\ufeffText.", encoding="utf-8")
    corpus = read(tmp_path)
    assert [p.id for p in corpus.passages] == ["UPPER.TXT#0000", "a/b.rst#0000", "a/z.md#0000", "b.txt#0000"]
    assert {p.text for p in corpus.passages} == {"Text."}
    assert corpus.set_aside == []


# Packing


def test_paragraphs_are_packed_up_to_the_number_of_words():
    assert split_text(["one two", "three", "four five six", "seven"], 4) == [
        "one two\n\nthree",
        "four five six\n\nseven",
    ]


def test_a_long_paragraph_is_cut_at_sentence_ends():
    pieces = split_text([SENTENCES], 20)
    assert all(piece.endswith(".") and count_words(piece) == 16 for piece in pieces)
    assert " ".join(pieces) == SENTENCES


def test_a_long_sentence_is_cut_at_line_ends_and_a_long_line_between_words():
    assert split_text(["a b c\nd e f\ng"], 4) == ["a b c", "d e f\ng"]
    assert split_text(["a b c d e f g"], 3) == ["a b c", "d e f", "g"]


def test_a_run_without_a_space_is_as_many_words_as_it_is_long():
    """A file in base64 would be one word else, and a passage that no language model can read."""
    assert [len(piece) for piece in split_text(["x" * 1000], 4)] == [200] * 5


def test_text_without_spaces_between_words_is_cut_at_sentence_ends_too():
    assert split_text(["我们去。你好吗？他说：「好。」再见"], 7) == ["我们去。你好吗？", "他说：「好。」再见"]


def test_indentation_inside_of_a_passage_stays():
    assert split_text(["    def f():\n        return 1"], 100) == ["def f():\n    return 1"]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("suffix", [".md", ".rst", ".txt", ".html"])
def test_every_word_of_a_body_is_in_one_passage_and_in_order(tmp_path: Path, suffix: str, seed: int):
    rng = random.Random(seed)
    ends = ["", "", "", ".", "!", ",", "?)", "。", *([] if suffix == ".html" else [" <script>", " <nav>", " <title>"])]
    words = iter(f"w{i}{rng.choice(ends)}" for i in range(10_000))
    heading = {".md": "# {}\n\n", ".rst": "{}\n======\n\n", ".txt": "", ".html": "<h2>{}</h2>"}[suffix]
    paragraph = {".html": "<p>{}</p>"}.get(suffix, "{}\n\n")
    parts, bodies = [], []
    for section in range(rng.randint(1, 5)):
        parts.append(heading.format(f"Part {section}"))
        for _ in range(rng.randint(0, 5)):
            body = [
                next(words).replace(" ", rng.choice(" \n")) + rng.choice([" ", " ", "\n"])
                for _ in range(rng.randint(1, 90))
            ]
            parts.append(paragraph.format("".join(body).strip()))
            bodies += "".join(body).split()
    (tmp_path / f"d{suffix}").write_text("".join(parts) + paragraph.format("end."), encoding="utf-8")
    passages = read(tmp_path, max_words=16).passages
    assert [word for p in passages for word in p.text.split()] == [*bodies, "end."]
    assert max(count_words(p.text) for p in passages) <= 16
