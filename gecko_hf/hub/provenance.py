"""What a pushed data set and a pushed model say about where they come from: `provenance.json` in either repository.

    model -> data set at a commit -> corpus and language model with their revisions -> prompts by sha256

Everything in it comes from the run folder, so pushing the same run again writes the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gecko_hf.hub.facts import fret_prompts, made_with, prompts_of
from gecko_hf.hub.fret_recipe import fret_recipe
from gecko_hf.hub.publish import Files, git_id, sha256
from gecko_hf.hub_id import may_be_hub_id
from gecko_hf.run_folder import NO_RESULT_DEPENDS, Paths, hash_of, write_json

LABEL_SOURCES = {"llm": "id", "llm_revision": "revision", "llm_settings": "settings"}  # column -> key
RECORD = "hub.json"  # in the run folder: where its parts were pushed


@dataclass(frozen=True)
class Pushed:
    """A repository, the commit that a push of this run left there, and the hash of the data that was pushed."""

    id: str
    commit: str
    content: str


def fret_provenance(summary: Mapping[str, Any], paths: Paths, files: Files, card: bytes) -> bytes:
    """`provenance.json` of the data set."""
    recipe = published(summary["recipe"])
    return _dump(
        {
            "kind": "fret",
            **_common(summary, files, card),
            "versions": made_with(summary, "fret")["versions"],
            "recipe": fret_recipe(recipe),
            "corpus": {**recipe["corpus"], **summary["corpus"], "input": _input_state(paths)},
            "llm": source_rows(sorted((paths.fret / "labels").glob("*.parquet"))),
            "prompts": {n: sha256(text.encode()) for n, text in fret_prompts(recipe, paths).items()},
            "retriever": retriever_of(summary),
            "rows": summary["fret"]["rows"],
        }
    )


def model_provenance(summary: Mapping[str, Any], files: Files, card: bytes, fret: Pushed | None) -> bytes:
    """`provenance.json` of the model; without a pushed data set its link is null."""
    return _dump(
        {
            "kind": "model",
            **_common(summary, files, card),
            "recipe": published(summary["recipe"]),
            "base": base_of(summary),
            "data_set": {"id": fret.id, "commit": fret.commit} if fret else None,
            "mixtures": summary["mixtures"],
            "prompts": prompts_of(summary["recipe"]),
            "scores": {"task": summary["yardstick"]["name"], "rows": summary["scores"]},
        }
    )


def published(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A recipe without that on which no result depends: addresses of servers, where jobs run, prices, the output folder."""
    return {
        key: published(value, f"{prefix}{key}.") if isinstance(value, Mapping) else value
        for key, value in recipe.items()
        if f"{prefix}{key}" not in NO_RESULT_DEPENDS
    }


def _common(summary: Mapping[str, Any], files: Files, card: bytes) -> dict[str, Any]:
    hashes = {path: sha256(content) for path, content in sorted(files.items())}
    # The card apart, which its owner may edit on the Hub: the next push must know that, and `trace` need not mind.
    return {"made_at": summary["finished_at"], "versions": summary["versions"], "files": hashes, "card": git_id(card)}


def _dump(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def base_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the run knew of its base: where a run is pushed from, a folder may not be there, or a package be another version."""
    base = summary["base"]
    if "hub" not in base:  # a summary from before it was told there
        return base_record({**summary["recipe"]["encoder"], "base": base["id"]})
    return {key: base[key] for key in ("id", "version", "hub")}


def retriever_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the run knew of the model that fetched FRet's candidates, which was the base before recipes could name another."""
    found: dict[str, Any] = summary.get("retriever") or base_of(summary)
    return found


def base_record(encoder: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the base of an `encoder` or `retriever` block: `id`, `version`, and whether it is on the Hub (`hub`).

    The version is that of the package for a `package:` base, and the `revision` for one of the Hub; else None.
    """
    from gecko_hf.model.encoder import PACKAGE

    base = encoder["base"]
    if base.startswith(PACKAGE):
        return {"id": base, "version": _package_version(base.removeprefix(PACKAGE)), "hub": False}
    hub = may_be_hub_id(base) and not Path(base).exists()
    return {"id": base, "version": encoder.get("revision") if hub else None, "hub": hub}


def _package_version(module: str) -> str | None:
    """Name and version of what installed a module; None where that is not known."""
    from importlib import metadata

    names = sorted(set(metadata.packages_distributions().get(module, ())))
    return ", ".join(f"{name} {metadata.version(name)}" for name in names) or None


def source_rows(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Each different language model with revision and settings that the shards of `labels` name, and its number of rows."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    columns = [name for name in LABEL_SOURCES if name in pq.read_schema(files[0]).names]
    table = pa.concat_tables(pq.read_table(file, columns=columns) for file in files)
    counted = table.group_by(columns).aggregate([([], "count_all")]).to_pylist()
    found = [{LABEL_SOURCES[c]: row[c] for c in columns} | {"rows": row["count_all"]} for row in counted]
    return sorted(found, key=lambda source: (-int(source["rows"]), str(source)))


def _input_state(paths: Paths) -> Any:
    """What the corpus stage wrote about its input; None in a run folder from before it did."""
    file = paths.corpus / "input.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def content_hash(folder: Path, pattern: str) -> str:
    """A hash of the bytes of a folder's files."""
    return hash_of({f.relative_to(folder).as_posix(): sha256(f) for f in sorted(folder.rglob(pattern)) if f.is_file()})


def read_pushed(root: Path, part: str) -> Pushed | None:
    """Where a part (`fret` or `model`) of a run was pushed last; None if it was not."""
    found = _read_record(root).get(part)
    return Pushed(**found) if found else None


def write_pushed(root: Path, part: str, pushed: Pushed) -> None:
    """Remember where a part of a run was pushed."""
    write_json(_read_record(root) | {part: asdict(pushed)}, root / RECORD)


def _read_record(root: Path) -> dict[str, Any]:
    file = root / RECORD
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
