"""From a document or a row to passages: sections under their heading paths, paragraphs packed up to a number of words.

Markdown is rendered to HTML first, so Markdown, HTML and the HTML inside of Markdown are read in one way.
"""

from __future__ import annotations

import re
import textwrap
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, Tag, XMLParsedAsHTMLWarning
from bs4.element import CData, NavigableString
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, html_block
from markdown_it.token import Token

from gecko_hf.corpus.passages import UNSPACED, Passage, SetAside, normalise
from gecko_hf.corpus.recipe import CorpusRecipe

Item = Passage | SetAside

_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)^\1[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*[ \t]*")

_HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
_WHOLE = _HEADINGS | {"pre"}  # what stands inside of these stays together
_BLOCKS = _WHOLE | frozenset(
    """address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure footer
    form header hr html legend li main ol option p section summary table tbody tfoot thead tr ul""".split()
)
_NOT_TEXT = ["script", "style", "nav", "template", "noscript", "svg"]
# What hides or holds all that follows until it is closed; the last ones are read without the tags inside of them.
_HIDING = "|".join([*_NOT_TEXT, *"title textarea xmp iframe noembed noframes plaintext".split()])
_OPENER = re.compile(rf"<({_HIDING})(?=[\s>])[^>]*(?<!/)>", re.IGNORECASE)
_CLOSER = re.compile(rf"</({_HIDING})[\s>]", re.IGNORECASE)
_INLINE_OPENER = re.compile(rf"<({_HIDING}|h[1-6])(?=[\s>])[^>]*(?<!/)>", re.IGNORECASE)

# A Chinese or Japanese character counts as a word and may end a passage; so do 50 characters without a space (ours), or a
# file in base64 would be one word, and a passage that no language model can read.
_WORD = re.compile(rf"[{UNSPACED}][\u3001-\u303f\uff01-\uff65]*|[^\s{UNSPACED}]{{1,50}}")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[^\sa-z])|(?<=[。！？])[」』）]*\s*")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_WORD_END = re.compile(rf"(?:{_WORD.pattern})\s*")


@dataclass(frozen=True, slots=True)
class Section:
    """Paragraphs and the headings above them, outermost first."""

    headings: tuple[str, ...]
    paragraphs: list[str]


class _Outline:
    """Collects paragraphs under the headings that stand above them."""

    def __init__(self) -> None:
        self.sections = [Section((), [])]
        self._above: list[tuple[int, str]] = []

    def heading(self, level: int, text: str) -> None:
        if text:
            self._above = [above for above in self._above if above[0] < level] + [(level, text)]
            self.sections.append(Section(tuple(name for _, name in self._above), []))

    def body(self, paragraphs: Iterable[str]) -> None:
        self.sections[-1].paragraphs.extend(paragraph for paragraph in paragraphs if paragraph.strip())


def split_document(text: str, suffix: str, stem: str, max_words: int) -> list[tuple[str, str]]:
    """Split a document into passages that no heading interrupts.

    A passage's title is its heading path under the document's own title ("Guide > Install > Linux"). Headings, front
    matter, and of HTML what is no text (scripts, styles, navigation) are in no passage's body; all other words are, once
    and in order. A tag of these that nothing closes hides nothing: in Markdown it is a word (`npm run <script>`).

    Args:
        text: The document, with line feeds as line ends.
        suffix: Its format: .md, .html, .htm, .rst, or .txt.
        stem: Title of passages that have no other.
        max_words: Longest passage.

    Returns:
        (title, text) pairs in the document's order; none if there is no text under its headings.

    Raises:
        bs4.exceptions.ParserRejectedMarkup: If the HTML in it is too broken to be parsed.
    """
    name, sections = _READERS[suffix](text)
    return [
        (_title(name, section.headings, stem), body)
        for section in sections
        for body in split_text(section.paragraphs, max_words)
    ]


def split_row(row: Mapping[str, Any], where: str, number: str, recipe: CorpusRecipe) -> Iterator[Item]:
    """The passage of a table's row, or its passages "ID#0", "ID#1" and so on where the text is long.

    Args:
        row: The row's values by column.
        where: Its place, for what is set aside.
        number: Its id if it has none of its own.
        recipe: Names the columns.

    Yields:
        Passages, or why there is none.
    """
    text = row.get(recipe.text_column)
    key = _label(row, recipe.id_column) or number
    title = _label(row, recipe.title_column)
    if text is None or (isinstance(text, str) and not text.strip()):
        yield SetAside(where, f"has no {recipe.text_column}")
    elif not isinstance(text, str):
        yield SetAside(where, f"has a {recipe.text_column} of type {type(text).__name__}, not a string")
    elif _LONE_SURROGATE.search(key + title + text):
        yield SetAside(where, "holds bytes or characters that are not UTF-8")
    elif count_words(text) <= recipe.max_words:
        yield Passage(key, title, text.strip())
    else:
        pieces = split_text(blocks(text), recipe.max_words)
        yield from (Passage(f"{key}#{i}", title, piece) for i, piece in enumerate(pieces))


def _label(row: Mapping[str, Any], column: str) -> str:
    """An id or a title as text, empty where it is missing or the recipe names no column for it."""
    value = row.get(column) if column else None
    return "" if value is None or value != value else _folded(str(value))  # NaN is not itself


def blocks(text: str) -> list[str]:
    """Blocks of text between empty lines, their indentation kept."""
    return [block.strip("\n").rstrip() for block in re.split(r"\n\s*\n", text) if block.strip()]


def count_words(text: str) -> int:
    """Words between spaces, of which a longer one counts as one each 50 characters; a Chinese or Japanese character is one."""
    return sum(1 for _ in _WORD.finditer(text))


def split_text(paragraphs: Iterable[str], max_words: int) -> list[str]:
    """Pack paragraphs greedily into texts of at most `max_words` words.

    A longer paragraph is cut at sentence ends, a longer sentence at line ends, a longer line between words.
    """
    pieces = [piece for paragraph in paragraphs for piece in _pack(_slices(paragraph, max_words), max_words, "")]
    return [textwrap.dedent(text).strip("\n").rstrip() for text in _pack(pieces, max_words, "\n\n")]


def _pack(pieces: Iterable[str], max_words: int, glue: str) -> list[str]:
    """Join neighbours as long as they fit."""
    packed: list[str] = []
    room = 0
    for piece in pieces:
        size = count_words(piece)
        if packed and size <= room:
            packed[-1] += glue + piece
            room -= size
        else:
            packed.append(piece)
            room = max_words - size
    return packed


def _slices(
    text: str, max_words: int, ends: tuple[re.Pattern[str], ...] = (_SENTENCE_END, re.compile(r"\n"), _WORD_END)
) -> Iterator[str]:
    """Slices of at most `max_words` words that join to the text, cut at the first kind of end that is fine enough."""
    if not ends or count_words(text) <= max_words:
        yield text
        return
    start = 0
    for end in [match.end() for match in ends[0].finditer(text)] + [len(text)]:
        if end > start:
            yield from _slices(text[start:end], max_words, ends[1:])
        start = end


def _title(document: str, headings: tuple[str, ...], stem: str) -> str:
    """The heading path, under the document's title where its outermost heading does not say that already."""
    path = list(headings)
    if document and not (path and (_contains(document, path[0]) or _contains(path[0], document))):
        path.insert(0, document)
    # A file's name may hold bytes, and YAML characters, that could not be written as UTF-8.
    return (" > ".join(path) or stem).encode("utf-8", "backslashreplace").decode()


def _contains(text: str, part: str) -> bool:
    return f" {normalise(part)} " in f" {normalise(text)} "


def _read_markdown(text: str) -> tuple[str, list[Section]]:
    title, body = _front_matter(text)
    return title, _read_html(_MARKDOWN.render(body))[1]


def _inline_html(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: Mapping[str, Any], env: Mapping[str, Any]
) -> str:
    """Markdown's rendering of a tag, which is text where it would hide what follows and nothing in its run closes it."""
    tag = tokens[i].content
    opener = _INLINE_OPENER.match(tag)
    if opener and not any(t.content.lower().startswith(f"</{opener[1].lower()}") for t in tokens[i + 1 :]):
        return escapeHtml(tag)
    return tag


def _closed_html_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Markdown's rule for a block of HTML, but for one that nothing closes: it could take the rest of the document."""
    at = state.bMarks[start] + state.tShift[start]
    opener = _OPENER.match(state.src, at)
    if opener and not re.compile(f"</{opener[1]}", re.IGNORECASE).search(state.src, at):
        return False
    return html_block(state, start, end, silent)


def _front_matter(text: str) -> tuple[str, str]:
    """The title that YAML (---) or TOML (+++) front matter gives, and the text after it."""
    match = _FRONT_MATTER.match(text)
    if not match:
        return "", text
    try:
        # BaseLoader leaves all values text: a title of 2024 or `no` is meant as it stands.
        data = yaml.load(match[2], Loader=yaml.BaseLoader) if match[1] == "---" else tomllib.loads(match[2])
    except (yaml.YAMLError, tomllib.TOMLDecodeError, RecursionError):
        return "", text
    if not isinstance(data, dict):  # two rulers with text between them
        return "", text
    title = data.get("title")
    return _folded(title) if isinstance(title, str) else "", text[match.end() :]


def _read_html(text: str) -> tuple[str, list[Section]]:
    with warnings.catch_warnings():
        # It takes XHTML for XML, and a very short page for a file name; both are read well.
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
        soup = BeautifulSoup(_without_unclosed(text), "html.parser")
    for tag in [*soup.find_all(_NOT_TEXT), *soup.find_all(role="navigation"), *soup.find_all("a", class_="headerlink")]:
        tag.extract()
    titles = [tag.extract() for tag in soup.find_all("title")]
    outline = _Outline()
    for block, content in _runs(soup):
        if block.name in _HEADINGS:
            outline.heading(int(block.name[1]), _folded(content))
        else:
            outline.body([content.strip("\n").rstrip() if block.name == "pre" else _folded(content)])
    return _folded(titles[0].get_text()) if titles else "", outline.sections


def _without_unclosed(text: str) -> str:
    """HTML without the tags that would hide all that follows them, for nothing closes them."""
    last = {match[1].lower(): match.start() for match in _CLOSER.finditer(text)}
    return _OPENER.sub(lambda match: match[0] if match.start() < last.get(match[1].lower(), 0) else "", text)


def _runs(root: Tag) -> Iterator[tuple[Tag, str]]:
    """Runs of text that no block begins or ends in, each with the block that it stands in.

    A heading that has a text ends where a block begins in it; with the same tag its end was meant (`<h2>Usage<h2>`).
    """
    homes = {id(root): root}  # the block of every tag so far; parents come before their children
    home, parts = root, [""]
    ended: set[int] = set()
    for node in root.descendants:
        above = homes[id(node.parent)]
        above = root if id(above) in ended else above
        here = above
        if isinstance(node, Tag):
            if node.name in _BLOCKS and above.name not in _WHOLE:
                here = node
            elif node.name in _BLOCKS and above.name in _HEADINGS and any(part.strip() for part in parts):
                ended.add(id(above))
                here = root if node.name == above.name else node
            homes[id(node)] = here
        elif type(node) not in (NavigableString, CData):  # comments, doctypes
            continue
        if here is not home:
            yield home, "".join(parts)
            home, parts = here, [""]
        if not isinstance(node, Tag):
            parts.append(str(node))
        elif node.name == "br":
            parts.append("\n")
        elif node.name in ("td", "th") and any(part.strip() for part in parts):
            parts.append(" | ")
    yield home, "".join(parts)


def _folded(text: str) -> str:
    return " ".join(text.split())


def _read_rst(text: str) -> tuple[str, list[Section]]:
    outline = _Outline()
    styles: list[tuple[str, bool]] = []  # a style's place in the order of first use is its level
    body: list[str] = []
    lines = text.split("\n")
    i = 0
    while i < len(lines):
        free = not body or not body[-1].strip() or body[-1].startswith(".. ")
        found = _rst_heading(lines[i : i + 3]) if free else None
        if not found:
            body.append(lines[i])
            i += 1
            continue
        outline.body(blocks("\n".join(body)))
        body = []
        title, style = found
        if style not in styles:
            styles.append(style)
        outline.heading(styles.index(style) + 1, title)
        i += 3 if style[1] else 2
    outline.body(blocks("\n".join(body)))
    return "", outline.sections


def _rst_heading(lines: list[str]) -> tuple[str, tuple[str, bool]] | None:
    """The heading that starts at the first line, with its style: (character, whether there is an overline)."""
    first, second, third = [line.rstrip() for line in [*lines, "", ""][:3]]
    if _ADORNMENT.fullmatch(first):
        overlined = first == third and second.strip() and not _ADORNMENT.fullmatch(second)
        return (second.strip(), (first[0], True)) if overlined and len(first) >= min(4, len(second)) else None
    underlined = first and not first[0].isspace() and _ADORNMENT.fullmatch(second)
    # Shorter underlines than four are text unless they are as long as the title: "...", "::".
    return (first, (second[0], False)) if underlined and len(second) >= min(4, len(first)) else None


def _read_txt(text: str) -> tuple[str, list[Section]]:
    return "", [Section((), blocks(text))]


# Text under more than 20 levels, which is ten lists in one another, would be dropped; 100 are what the stack has room for.
_MARKDOWN = MarkdownIt("commonmark", {"html": True, "maxNesting": 100}).enable(["table", "strikethrough"])
_MARKDOWN.add_render_rule("html_inline", _inline_html)
_MARKDOWN.block.ruler.at("html_block", _closed_html_block, {"alt": ["paragraph", "reference", "blockquote"]})
_READERS = {".md": _read_markdown, ".html": _read_html, ".htm": _read_html, ".rst": _read_rst, ".txt": _read_txt}
