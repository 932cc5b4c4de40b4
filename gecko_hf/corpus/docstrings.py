"""A corpus from the documentation of installed Python packages, with its human-written yardstick.

One passage for each public function, class and method: title = qualified name, text = docstring without its "See Also"
section. Those sections, in which the authors describe *other* functions in a few words, are returned apart: they are
queries that people wrote, with the function they point at as the answer (`gecko_hf.evaluation.yardstick`).
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import pickle
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from gecko_hf.corpus.passages import Passage
from gecko_hf.errors import CorpusError, require

MIN_WORDS = 8  # a shorter docstring says less than its name does
_READER = """
import sys
from pathlib import Path
from gecko_hf.corpus.docstrings import write_documentation
write_documentation(Path(sys.argv[1]), sys.argv[2:])
"""
_PRIVATE = {"tests", "testing", "conftest"}
_SECTION = re.compile(r"^(?P<name>\S[^\n]*)\n[-=]{3,}[ \t]*$", re.MULTILINE)
# What is another in each process: an object's address, an example's output that its authors say "may vary".
_PASSING = re.compile(r" at 0x[0-9a-f]+(?=>)|^.*# may vary$\n?", re.MULTILINE)
_COLON = re.compile(r"\s*:(?:\s+|$)")  # between names and description; a role such as :func: has no space behind it


@dataclass(frozen=True, slots=True)
class Reference:
    """One line of a See Also section: `source` says of the things called `names` what `description` says."""

    source: str
    names: tuple[str, ...]
    description: str


@dataclass(frozen=True, slots=True)
class Documentation:
    """Passages of the packages, every public name -> passage id, and the See Also references."""

    passages: list[Passage]
    names: dict[str, str]
    references: list[Reference]


def read_docstrings(packages: list[str]) -> Documentation:
    """Read the documentation of installed packages through their public names.

    A docstring that stands under several names makes one passage, under the first name in the order of the walk (breadth
    first, names sorted), so the same versions give the same passages in the same order. The walk is done by a fresh
    interpreter: a package also shows the submodules that anybody has imported, and what this process imported before would
    decide what is read. Its hash seed is fixed, since some docstrings print sets; addresses of objects and
    example outputs that "may vary" are left out.

    Raises:
        MissingExtraError: If a package is not installed.
        CorpusError: If the interpreter that reads them fails.
    """
    for package in packages:
        require(package, "quickstart")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "documentation.pickle"
        done = subprocess.run(
            [sys.executable, "-c", _READER, str(file), *packages],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CorpusError(
                f"Reading the documentation of {', '.join(packages)} failed: {done.stderr.strip()[-400:]}"
            )
        documentation: Documentation = pickle.loads(file.read_bytes())
    return documentation


def write_documentation(file: Path, packages: list[str]) -> None:
    """What the fresh interpreter does: walk the packages and pickle their `Documentation` into a file."""
    with warnings.catch_warnings():
        # Looking at a deprecated name warns; the packages' users are meant, not their readers.
        warnings.simplefilter("ignore")
        documentation = _read([importlib.import_module(package) for package in packages])
    file.write_bytes(pickle.dumps(documentation))


def _read(roots: list[ModuleType]) -> Documentation:
    passages: dict[str, Passage] = {}
    names: dict[str, str] = {}
    first: dict[str, str] = {}
    references: list[Reference] = []
    for root in roots:
        for name, thing in _documented(root):
            sections = split_sections(_docstring(thing))
            text = "\n".join(f"{head}\n{body}".strip() for head, body in sections if head.lower() != "see also").strip()
            if len(text.split()) < MIN_WORDS or name in names:
                continue
            names[name] = first.setdefault(text, name)
            if names[name] != name:
                continue
            passages[name] = Passage(id=name, title=name, text=text)
            for head, body in sections:
                if head.lower() == "see also":
                    references.extend(Reference(name, *item) for item in see_also_items(body))
    return Documentation(list(passages.values()), names, references)


def split_sections(docstring: str) -> list[tuple[str, str]]:
    """Cut a docstring at its underlined headings: (heading, body) pairs, the first with an empty heading."""
    pieces = _SECTION.split(docstring)
    return [("", pieces[0].strip())] + [(h.strip(), b.strip()) for h, b in zip(pieces[1::2], pieces[2::2], strict=True)]


def see_also_items(section: str) -> list[tuple[tuple[str, ...], str]]:
    """The entries of a numpydoc See Also section: (names, description); a description may go on in indented lines.

    Args:
        section: The section's body, as `inspect.getdoc` leaves it: entries at the margin.
    """
    items: list[tuple[tuple[str, ...], list[str]]] = []
    open_item = False
    for line in section.split("\n"):
        if line[:1].isspace() and open_item:
            items[-1][1].append(line.strip())
            continue
        head, *description = _COLON.split(line.strip(), maxsplit=1)
        names = tuple(n for n in map(_bare_name, head.split(",")) if n)
        open_item = bool(names) and all(re.fullmatch(r"[A-Za-z_][\w.]*", n) for n in names)
        if open_item:
            items.append((names, description))
    return [(names, " ".join(" ".join(lines).split())) for names, lines in items]


def _bare_name(reference: str) -> str:
    """`:func:`~numpy.sort`` -> `numpy.sort`."""
    return re.sub(r"^:\w+(:\w+)*:|\(\)$", "", reference.strip()).strip("`~ _")


def _docstring(thing: Any) -> str:
    try:
        doc = inspect.getdoc(thing)
    except (AttributeError, TypeError, ValueError):  # some C objects refuse inspection; they have no text to give
        return ""
    return _PASSING.sub("", doc) if isinstance(doc, str) else ""


def _documented(root: ModuleType) -> Iterator[tuple[str, Any]]:
    """Public classes, their methods, and functions of a package, with their qualified names."""
    package = root.__name__
    for name, thing in _public_names(root):
        home = getattr(thing, "__module__", None) or ""
        if inspect.isclass(thing):
            if str(home).split(".")[0] != package:
                continue
            yield name, thing
            for attribute in sorted(a for a in dir(thing) if not a.startswith("_")):
                with contextlib.suppress(AttributeError):
                    member = inspect.getattr_static(thing, attribute)
                    member = getattr(member, "__func__", member)  # static and class methods
                    if callable(member):
                        yield f"{name}.{attribute}", member
        elif callable(thing):
            kind = type(thing).__module__ or ""
            if inspect.isbuiltin(thing) or package in (str(home).split(".")[0], kind.split(".")[0]):
                yield name, thing


def _public_names(root: ModuleType) -> Iterator[tuple[str, Any]]:
    """Public names of a package and of its public modules, breadth first."""
    queue, seen = [root], {root.__name__}
    while queue:
        module = queue.pop(0)
        listed = getattr(module, "__all__", ())
        names = {n for n in dir(module) if not n.startswith("_")}
        if isinstance(listed, list | tuple):
            names.update(listed)
        for name in sorted(names):
            thing = _attribute(module, name)
            if not isinstance(thing, ModuleType):
                yield f"{module.__name__}.{name}", thing
            elif thing.__name__ not in seen and _is_public_part(thing.__name__, root.__name__):
                seen.add(thing.__name__)
                queue.append(thing)


def _attribute(module: ModuleType, name: str) -> Any:
    """A module's attribute, or None where asking for it fails: lazy modules may need packages that are not there."""
    try:
        return getattr(module, name)
    except (AttributeError, ImportError, RuntimeError, OSError):
        return None


def _is_public_part(module: str, package: str) -> bool:
    parts = module.split(".")
    return parts[0] == package and not any(p.startswith("_") or p in _PRIVATE for p in parts)
