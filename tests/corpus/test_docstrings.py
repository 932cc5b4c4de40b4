"""Passages and references from a package that the test writes."""

import sys
import textwrap
import types

import pytest

from gecko_hf.corpus.docstrings import read_docstrings, see_also_items, split_sections
from gecko_hf.errors import MissingExtraError

PACKAGE = {
    "__init__.py": """
        from tinydocs import shapes
        from tinydocs.shapes import area
        from tinydocs import _hidden, tests

        __version__ = "1.2"
        __all__ = ["shapes", "area", "gone"]

        def __getattr__(name):
            raise ImportError("this part needs a package that is not there")
    """,
    "shapes.py": '''
        from os.path import join  # belongs to another package

        def area(width, height):
            """Compute the area of a rectangle from its two sides.

            Parameters
            ----------
            width, height : float

            See Also
            --------
            Circle.area : The same for a round thing,
                whatever its size.
            perimeter, Circle : Other measures.
            """

        def perimeter(width, height):
            """Too short."""

        class Circle:
            """A round thing with a radius and a place in the plane."""

            def area(self):
                """Compute the area of this circle from its radius alone."""

            @classmethod
            def unit(cls):
                """Make a circle of radius one at the origin of the plane."""

            def _secret(self):
                """Nobody should ever read this docstring in any passage at all."""

        round_thing = Circle
        Circle.area.__doc__ += f"""
            Accepts the units {set("abcdefgh")}, by default {object()}.

            >>> Circle().area()
            {id(object())}  # may vary
            """
    ''',
    "_hidden.py": '''
        def hidden():
            """This function lives in a private module and must not be read."""
    ''',
    "tests.py": '''
        def check():
            """This function lives in a test module and must not be read."""
    ''',
}


@pytest.fixture(scope="module")
def tinydocs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name, text in PACKAGE.items():
        (folder / "tinydocs").mkdir(exist_ok=True)
        (folder / "tinydocs" / name).write_text(textwrap.dedent(text))
    sys.path.insert(0, str(folder))
    yield read_docstrings(["tinydocs"])
    sys.path.remove(str(folder))
    for name in [m for m in sys.modules if m.split(".")[0] == "tinydocs"]:
        del sys.modules[name]


def test_there_is_one_passage_for_each_public_function_class_and_method(tinydocs):
    assert [p.id for p in tinydocs.passages] == [
        "tinydocs.area",
        "tinydocs.shapes.Circle",
        "tinydocs.shapes.Circle.area",
        "tinydocs.shapes.Circle.unit",
    ]


def test_the_title_is_the_qualified_name_and_see_also_is_cut_out(tinydocs):
    passage = tinydocs.passages[0]
    assert passage.title == "tinydocs.area"
    assert passage.text.startswith("Compute the area of a rectangle")
    assert "Parameters\nwidth, height : float" in passage.text
    assert "See Also" not in passage.text
    assert "round thing" not in passage.text


def test_every_name_leads_to_its_passage(tinydocs):
    assert tinydocs.names["tinydocs.shapes.area"] == "tinydocs.area"
    assert tinydocs.names["tinydocs.shapes.round_thing.unit"] == "tinydocs.shapes.Circle.unit"


def test_references_keep_who_says_what_of_whom(tinydocs):
    assert [(r.source, r.names, r.description) for r in tinydocs.references] == [
        ("tinydocs.area", ("Circle.area",), "The same for a round thing, whatever its size."),
        ("tinydocs.area", ("perimeter", "Circle"), "Other measures."),
    ]


def test_reading_twice_gives_the_same(tinydocs):
    assert read_docstrings(["tinydocs"]) == tinydocs


def test_what_is_another_in_each_process_is_left_out(tinydocs):
    text = next(p.text for p in tinydocs.passages if p.id == "tinydocs.shapes.Circle.area")
    assert "by default <object object>." in text
    assert text.endswith(">>> Circle().area()")


def test_what_this_process_has_imported_does_not_decide_what_is_read(tinydocs, monkeypatch):
    import tinydocs as package

    extra = types.ModuleType("tinydocs.extra")
    extra.f = type(
        "F",
        (),
        {"__doc__": "A class of a module that only somebody else has imported.", "__module__": "tinydocs.extra"},
    )
    monkeypatch.setitem(vars(package), "extra", extra)
    assert read_docstrings(["tinydocs"]) == tinydocs


def test_a_package_that_is_not_installed_names_the_pip_command():
    with pytest.raises(MissingExtraError, match=r"pip install 'gecko-hf\[quickstart\]'"):
        read_docstrings(["no_such_package"])


@pytest.mark.parametrize(
    ("section", "items"),
    [
        ("a : Says a.\nb : Says b.", [(("a",), "Says a."), (("b",), "Says b.")]),
        (":func:`~x.a` : Says a.", [(("x.a",), "Says a.")]),
        ("a, b_, :obj:`c`\nd() : Says d.", [(("a", "b", "c"), ""), (("d",), "Says d.")]),
        ("a :\n    Says\n    a lot.", [(("a",), "Says a lot.")]),
        ("Some free prose, without names.", []),
        ("", []),
    ],
)
def test_the_forms_of_a_see_also_section(section, items):
    assert see_also_items(section) == items


def test_sections_are_found_by_their_underlines():
    assert split_sections("Summary.\n\nNotes\n-----\nOne.\n\nExamples\n--------\nTwo.") == [
        ("", "Summary."),
        ("Notes", "One."),
        ("Examples", "Two."),
    ]


def test_the_real_documentation_of_numpy_gives_a_corpus():
    documentation = read_docstrings(["numpy"])
    assert len(documentation.passages) > 1000
    assert "numpy.searchsorted" in {p.id for p in documentation.passages}
    assert any(r.source == "numpy.sort" and "searchsorted" in r.names for r in documentation.references)
