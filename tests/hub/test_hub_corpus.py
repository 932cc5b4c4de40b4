"""A corpus that is a data set on the Hub: whole, or as much of it as is asked for."""

import pytest

READ = """
from gecko_hf.corpus.files import read_files
from gecko_hf.corpus.recipe import CorpusRecipe
from gecko_hf.errors import CorpusError
try:
    items = read_files(CorpusRecipe(path="org/fret", near_duplicate=1.0, {options}))
    print(json.dumps([[p.id, p.title] for p in items]))
except CorpusError as error:
    print(json.dumps(str(error)))
"""


def read(clients, options):
    return clients.python(READ.format(options=options), stranger=False)


def test_the_passages_of_a_published_fret_are_a_corpus_again(clients, pushed, run):
    from gecko_hf.corpus.store import read_corpus

    found = read(clients, "config='corpus'")
    assert [tuple(row) for row in found] == [(p.id, p.title) for p in read_corpus(run / "corpus")]


def test_a_stream_stops_at_the_rows_that_are_asked_for(clients, pushed):
    whole, part = read(clients, "config='corpus'"), read(clients, "config='corpus', rows=5")
    assert part == whole[:5]


@pytest.mark.parametrize("more", ["", ", rows=5"])
def test_a_config_that_is_not_there_is_named(clients, pushed, more):
    assert "no split 'train' of config 'corpsu' of a Hub data set" in read(clients, f"config='corpsu'{more}")


@pytest.mark.parametrize("more", ["", ", rows=5"])
def test_a_column_that_is_not_there_is_named_with_the_nearest(clients, pushed, more):
    message = read(clients, f"config='corpus', text_column='txt'{more}")
    assert "has no column 'txt'" in message
    assert "corpus.text_column=text" in message
