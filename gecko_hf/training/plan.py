"""What the training of a recipe takes, computed before anything runs: steps, negatives, tokens, hours, memory.

    operations   6 a parameter and token (Kaplan et al. 2020, arXiv 2001.08361, section 2.1; the backward pass is two
                 forwards), and 2 more each with gradient caching and with gradient checkpointing, which repeat a forward.
                 Embeddings and attention's own products are not counted.
    seconds      operations / (GPUs x peak x MFU)
    memory       16 bytes a parameter for float32 weights, gradients and AdamW's two moments; activations of
                 34 bytes a layer, hidden unit and token that is held at once (Korthikanti et al. 2022, arXiv 2205.05198,
                 eq. 1 without the attention matrix, which fused attention does not keep); with gradient checkpointing of
                 one layer, and 2 bytes of the input of each; similarities in float32.

docs/scaling.md compares the formulas with what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.table import Table

from gecko_hf.errors import RecipeError
from gecko_hf.recipe import Recipe
from gecko_hf.training.mixture_recipe import negatives_of
from gecko_hf.training.recipe import StageRecipe

GPUS = {  # dense bfloat16 operations a second and bytes of memory; NVIDIA's data sheets
    "A100-40GB": (312e12, 40e9),
    "A100-80GB": (312e12, 80e9),
    "H100": (989e12, 80e9),
    "H200": (989e12, 141e9),
    "L4": (121e12, 24e9),
    "RTX-4090": (165e12, 24e9),
}
STATE_BYTES = 16
ACTIVATION_BYTES = 34
INPUT_BYTES = 2  # bfloat16


@dataclass(frozen=True)
class Shape:
    """The size of an encoder.

    Attributes:
        parameters: All weights.
        used: Those that every token is multiplied with: all but the embeddings.
        layers: Of the transformer.
        hidden: Width of a layer.
    """

    parameters: int
    used: int
    layers: int
    hidden: int


@dataclass(frozen=True)
class Hardware:
    """What trains.

    Attributes:
        gpu: A name of `GPUS`.
        count: How many.
        mfu: Share of their peak that is reached.
    """

    gpu: str = "H100"
    count: int = 1
    mfu: float = 0.35

    @property
    def peak(self) -> float:
        """Operations a second of one."""
        return GPUS[self.gpu][0]

    @property
    def memory(self) -> float:
        """Bytes of one."""
        return GPUS[self.gpu][1]


@dataclass(frozen=True)
class StagePlan:
    """One training stage.

    Attributes:
        name: Of the stage.
        steps: Optimizer steps.
        rows: Rows of one step, of all GPUs.
        negatives: That a query is told apart from, without hard ones.
        tokens: Of the whole stage.
        seconds: Of the whole stage.
        memory: Bytes on one GPU.
    """

    name: str
    steps: int
    rows: int
    negatives: int
    tokens: float
    seconds: float
    memory: float


def shape_of(base: str, revision: str | None = None) -> Shape:
    """The size of a checkpoint, from its configuration alone: no weight is loaded.

    Args:
        base: Folder, Hub id, or `package:NAME`.
        revision: Commit of a Hub id.

    Raises:
        RecipeError: If there is no configuration.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    from gecko_hf.model.encoder import resolve_base

    try:
        config: Any = AutoConfig.from_pretrained(resolve_base(base), revision=revision)
        with torch.device("meta"):
            model = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"encoder.base: no configuration loads from {base!r}: {' '.join(str(error).split())} "
            "Name a folder or a Hub id, or give the size: --layers, --hidden and --parameters."
        ) from error
    named = list(model.named_parameters())
    used = sum(p.numel() for name, p in named if "embed" not in name)
    return Shape(sum(p.numel() for _, p in named), used, config.num_hidden_layers, config.hidden_size)


def plan_training(
    recipe: Recipe, shape: Shape, hardware: Hardware, *, query_tokens: int = 32, passage_tokens: int = 256
) -> list[StagePlan]:
    """Plan both stages.

    Args:
        recipe: What would be trained.
        shape: The encoder.
        hardware: On what.
        query_tokens: Tokens of a query, prompt included.
        passage_tokens: Tokens of a document, at most; a stage's `max_seq_length` may be lower.

    Raises:
        RecipeError: If the number of a stage's steps does not stand in the recipe.
    """
    return [
        _stage(name, stage, recipe, shape, hardware, query_tokens, passage_tokens)
        for name, stage in (("prefinetune", recipe.prefinetune), ("finetune", recipe.finetune))
        if stage.mixture or stage.steps or (stage.rows if name == "prefinetune" else recipe.fret.rows)
    ]


def embedding_seconds(shape: Shape, hardware: Hardware, tokens: float) -> float:
    """Seconds in which all GPUs embed so many tokens: a forward pass, 2 operations a parameter and token."""
    return 2 * shape.used * tokens / (hardware.count * hardware.peak * hardware.mfu)


def plan_table(stages: list[StagePlan], shape: Shape, hardware: Hardware) -> Table:
    """The plan for the terminal."""
    table = Table(
        title=f"{shape.parameters / 1e6:,.0f}M parameters, {shape.used / 1e6:,.0f}M beside the embeddings\n"
        f"{hardware.count} x {hardware.gpu} at {hardware.mfu:.0%} of {hardware.peak / 1e12:,.0f} TFLOP/s",
        title_justify="left",
        caption="rows: of a step, of all GPUs; negatives: that a query sees, without hard ones; memory: of one GPU",
        caption_justify="left",
    )
    for column in ("stage", "steps", "rows", "negatives", "tokens", "hours", "memory"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for s in stages:
        fits = "" if s.memory <= hardware.memory else f" of {hardware.memory / 1e9:.0f}: too much"
        table.add_row(
            s.name,
            f"{s.steps:,}",
            f"{s.rows:,}",
            f"{s.negatives:,}",
            f"{s.tokens:.2e}",
            f"{s.seconds / 3600:.2f}",
            f"{s.memory / 1e9:.1f} GB{fits}",
        )
    return table


def _stage(
    name: str, stage: StageRecipe, recipe: Recipe, shape: Shape, hardware: Hardware, query: int, passage: int
) -> StagePlan:
    length = min(stage.max_seq_length or recipe.encoder.max_seq_length, recipe.encoder.max_seq_length)
    query, passage = min(query, length), min(passage, length)
    own = 1 if name == "finetune" and recipe.fret.negative != "none" else 0
    texts = query + _documents(stage, own) * passage
    rows = stage.batch_size * hardware.count
    steps = stage.steps or _steps(name, stage, recipe, rows)
    tokens = steps * rows * texts
    operations = (6 + 2 * bool(stage.mini_batch_size) + 2 * stage.gradient_checkpointing) * shape.used
    negatives = (rows if stage.gather_across_devices else stage.batch_size) - 1
    return StagePlan(
        name,
        steps,
        rows,
        negatives * (1 + stage.same_tower),
        tokens,
        tokens * operations / (hardware.count * hardware.peak * hardware.mfu),
        _memory(stage, shape, texts, passage, rows),
    )


def _documents(stage: StageRecipe, own: int) -> float:
    """Documents of a row, hard negatives among them, in the mean over the steps."""
    if not stage.mixture:
        return 1 + own
    weights = [entry.weight or 1.0 for entry in stage.mixture.values()]
    found = [1 + (own if e.is_own_fret else negatives_of(e)) for e in stage.mixture.values()]
    return sum(w * n for w, n in zip(weights, found, strict=True)) / sum(weights)


def _steps(name: str, stage: StageRecipe, recipe: Recipe, rows: int) -> int:
    total = min(stage.rows, recipe.fret.rows) if name == "finetune" else stage.rows
    if stage.mixture:
        caps = [entry.rows for entry in stage.mixture.values()]
        if None in caps:
            raise RecipeError(
                f"{name}: its steps follow from the sizes of its data sets. Give {name}.steps to plan with."
            )
        total = sum(cap for cap in caps if cap)
    return max(1, total // rows) * stage.epochs


def _memory(stage: StageRecipe, shape: Shape, texts: float, passage: int, rows: int) -> float:
    """Bytes on one GPU: what is held of a mini-batch's column with gradient caching, of the whole batch without."""
    held = stage.mini_batch_size * passage if stage.mini_batch_size else stage.batch_size * texts
    similarities = 2 * 4 * (stage.mini_batch_size or stage.batch_size) * 2 * rows
    a_token = ACTIVATION_BYTES * shape.layers
    if stage.gradient_checkpointing:
        a_token = ACTIVATION_BYTES + INPUT_BYTES * shape.layers
    return STATE_BYTES * shape.parameters + a_token * shape.hidden * held + similarities
