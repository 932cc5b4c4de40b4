"""A mixture's data sets as training columns: anchor, positive, negative, ... and nothing else.

sentence-transformers trains on every column that it finds, so a set leaves here with exactly these. Rows are formatted by
`prompts.py`, written to Arrow files under the hash of what made them, and read from there afterwards.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from gecko_hf.errors import RecipeError
from gecko_hf.prompts import PromptFormat, format_query, reworded, without_prompt
from gecko_hf.run_folder import hash_of, write_json
from gecko_hf.source import by_role, pinned, read_source, state
from gecko_hf.text import hash64
from gecko_hf.training.converters import ID_FORM, KINDS, Example, Text, filled
from gecko_hf.training.mixture import document_writer, repeated, without_source
from gecko_hf.training.mixture_recipe import DataRecipe, negatives_of

if TYPE_CHECKING:
    from gecko_hf.fret.decontaminate import TestSets

ASIDE = "set_aside.json"
FORM = 4  # of the rows: raised where the same block gives other rows than before, so that older files are not read
LABEL = "label"  # a row's label, base vectors: one of the names that sentence-transformers does not read as text


@dataclass(frozen=True)
class TrainingSet:
    """One data set of a mixture, ready to train on.

    Attributes:
        name: As in the recipe.
        rows: Columns anchor, positive and negative, negative_2, ... as the model reads them.
        set_aside: Why how many rows are not in it.
        recipe: Its block; the revision is the commit that was read.
    """

    name: str
    rows: datasets.Dataset
    set_aside: dict[str, int]
    recipe: DataRecipe

    def bare(self, text: str) -> str:
        """A text of a row without its prompt and its unique id."""
        found = without_prompt(text)
        return found.partition(ID_FORM.rpartition("{}")[2])[2] if self.recipe.has_ids else found


def build_set(
    name: str,
    recipe: DataRecipe,
    folder: Path,
    seed: int,
    title_in_text: float = 0.0,
    default: str | None = None,
    tests: TestSets | None = None,
    cut_source: float = 0.0,
) -> TrainingSet:
    """Read a data set and write its training rows.

    Args:
        name: As in the recipe, for messages.
        recipe: Its block.
        folder: Where the rows are kept.
        seed: Seeds what the converters draw, and which rows are taken where there is a cap.
        title_in_text: See `mixture.document_writer`.
        default: Where FRet lies if the block names no source.
        tests: Test sets that no query and no positive may overlap.
        cut_source: Of FRet, the share of extractive queries whose sentence leaves a positive of one row alone (see
            `mixture.fret_rows`).

    Raises:
        RecipeError: If nothing can be read from the source, a column is missing, or no row is left.
    """
    source = recipe.source or default
    if source is None:
        raise RecipeError(f"{name} is the FRet of this run, and there is none. Name a source.")
    recipe = pinned(recipe, source, name)
    cut_source = cut_source if recipe.kind == "fret" else 0.0
    options = [seed, title_in_text, cut_source, tests and tests.fingerprint]
    key = hash_of([FORM, asdict(recipe), source, state(source), *options])
    place = folder / f"{name}-{key[:12]}"
    try:
        rows = datasets.Dataset.from_generator(
            write_rows,
            gen_kwargs={
                "recipe": recipe,
                "source": source,
                "name": name,
                "seed": seed,
                "title_in_text": title_in_text,
                "place": place,
                "tests": tests,
                "cut_source": cut_source,
            },
            features=_features(recipe),
            cache_dir=str(place),
            fingerprint=key,
        )
    except datasets.exceptions.DatasetGenerationError as error:
        raise error.__cause__ or error from error  # what write_rows raised, which the library wraps
    aside = json.loads((place / ASIDE).read_text(encoding="utf-8"))
    return TrainingSet(name, rows, aside, recipe)


def write_rows(
    recipe: DataRecipe,
    source: str,
    name: str,
    seed: int,
    title_in_text: float,
    place: Path,
    tests: TestSets | None = None,
    cut_source: float = 0.0,
) -> Iterator[dict[str, Any]]:
    """The training rows of a source; counts in a file what is set aside.

    Raises:
        RecipeError: As `build_set`.
    """
    aside: Counter[str] = Counter()
    written, wanted = 0, _features(recipe)
    document = document_writer(title_in_text, seed)
    draw = random.Random(seed)  # not security: seeded sampling
    rows = read_source(recipe, source, name, recipe.kind, KINDS[recipe.kind].columns)
    shared = repeated(by_role(rows, recipe.columns)["positive"]) if cut_source else frozenset[int]()
    for example in convert(rows, recipe, seed):
        if isinstance(example, str):
            aside[example] += 1
        elif not (filled(example.query) and filled(example.positive.text)):
            aside["empty text"] += 1
        elif tests and (match := tests.match(example.query) or tests.match(example.positive.text)):
            aside[f"test text: {match}"] += 1
        elif len(row := training_row(_cut(example, cut_source, draw, shared), recipe, document)) < len(wanted):
            short = recipe.scores and "scores" not in row
            aside["not one score for each text" if short else "fewer hard negatives than asked for"] += 1
        else:
            written += 1
            yield row
    if not written:
        raise RecipeError(f"{name} gives no training row; set aside: {dict(aside)}. Check its kind and columns.")
    write_json(dict(aside), place / ASIDE)


def convert(rows: datasets.Dataset, recipe: DataRecipe, seed: int) -> Iterator[Example | str]:
    """Examples of a data set, and reasons where a row gives none."""
    rows, kind = by_role(rows, recipe.columns), KINDS[recipe.kind]
    draw = random.Random(seed)  # not security: seeded sampling
    most = len(rows) if recipe.rows is None else recipe.rows
    if most >= len(rows):
        return kind.convert(rows, draw)
    if not kind.grouped:
        return kind.convert(rows.shuffle(seed=seed).select(range(most)), draw)
    found = list(kind.convert(rows, draw))
    examples = [i for i, example in enumerate(found) if isinstance(example, Example)]
    left_out = {*draw.sample(examples, max(0, len(examples) - most))}
    return (example for i, example in enumerate(found) if i not in left_out)


def _cut(example: Example, share: float, draw: random.Random, shared: Set[int]) -> Example:
    """An example of FRet, whose positive loses the query's own sentence for this share of them.

    The positives whose hashes are `shared` are those of several rows and stay whole, see `mixture.fret_rows`.
    """
    if draw.random() >= share or hash64(example.positive.text) in shared:
        return example
    text = without_source(example.query, example.positive.text)
    return replace(example, positive=example.positive._replace(text=text))


def training_row(example: Example, recipe: DataRecipe, document: Callable[[str, str], str]) -> dict[str, Any]:
    """An example as the model reads it; `document` writes (text, title)."""
    kind = KINDS[recipe.kind]
    task = recipe.task or example.task or kind.task
    symmetric = kind.symmetric if recipe.symmetric is None else recipe.symmetric
    mark = example.mark if recipe.has_ids else ""

    def write(text: Text) -> str:
        return format_query(task, mark + text.text) if symmetric else document(mark + text.text, text.title)

    pair = [format_query(task, mark + example.query), write(example.positive)]
    # A negative that is the positive, or the query itself, would teach the opposite of what the row says.
    found = {n: i for i, n in reversed(list(enumerate(map(write, example.negatives), start=1))) if n not in pair}
    others = sorted(found, key=lambda n: found[n])[: negatives_of(recipe)]
    texts = [*pair, *others]
    row: dict[str, Any] = dict(zip(columns(len(others)), texts, strict=True))
    if recipe.scores and example.scores and len(example.scores) == 1 + len(example.negatives):
        row["scores"] = [example.scores[i] for i in (0, *(found[n] for n in others))]
    if recipe.positives == "label":
        row[LABEL] = [example.label]
    return row


def with_vectors(one: TrainingSet, encode: Callable[[Sequence[str]], np.ndarray]) -> TrainingSet:
    """The set with the untouched base's vectors of each row's texts, in the column `label`, behind its label.

    Args:
        one: The set.
        encode: Gives the base's vectors of texts without prompts and ids, (texts, width).
    """
    names = text_columns(one.rows)
    blocks = [encode([one.bare(text) for text in one.rows[column]]) for column in names]
    if LABEL in one.rows.column_names:
        blocks.insert(0, np.array(one.rows[LABEL], dtype=np.float32))
    values = np.concatenate(blocks, axis=1)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    return replace(one, rows=one.rows.select_columns(names).add_column(LABEL, column))


def in_format(rows: Any, form: PromptFormat) -> Any:
    """Training rows, or the sets of a mixture, with their prompts in another format."""
    if form == "gecko":
        return rows
    if isinstance(rows, list):
        return [replace(one, rows=in_format(one.rows, form)) for one in rows]
    texts = text_columns(rows)
    return rows.map(lambda batch: {name: [reworded(t, form) for t in batch[name]] for name in texts}, batched=True)


def columns(hard_negatives: int) -> list[str]:
    """The training columns of rows with so many hard negatives."""
    return ["anchor", "positive", *(f"negative_{i}" if i > 1 else "negative" for i in range(1, hard_negatives + 1))]


def text_columns(rows: datasets.Dataset) -> list[str]:
    """The columns that are texts."""
    return [name for name in rows.column_names if name not in ("scores", LABEL)]


def _features(recipe: DataRecipe) -> datasets.Features:
    numbers = datasets.List(datasets.Value("float32"))
    beside = {"scores": recipe.scores, LABEL: recipe.positives == "label"}
    names = {n: datasets.Value("string") for n in columns(negatives_of(recipe))}
    return datasets.Features(names | {name: numbers for name, there in beside.items() if there})
