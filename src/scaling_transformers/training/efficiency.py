"""What a small model of the book loses, or learns, when its weights are rounded, updated or shared.

``python -m scaling_transformers.training.efficiency`` trains the models that share weights once more, and
replaces the files in ``data/sharing``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from scaling_transformers.config import TransformerConfig
from scaling_transformers.efficiency.lora import add_lora
from scaling_transformers.efficiency.quantized_linear import quantize_model
from scaling_transformers.efficiency.sharing import share_layers
from scaling_transformers.model import Transformer
from scaling_transformers.training import small_models
from scaling_transformers.training.corpora import language_reference, python_library
from scaling_transformers.training.loop import sample_batch, token_losses, train
from scaling_transformers.training.record import as_table, read_record, read_runs, shipped, write_runs

PRECISIONS = ((8, None), (4, None), (4, 32), (3, None), (3, 32), (2, None), (2, 32))


class Way(NamedTuple):
    """A way to train a model further: all of it, or updates of a rank beside the matrices that are named."""

    rank: int  #: 0: all parameters
    targets: tuple[str, ...]  #: Names of the matrices with updates.
    learning_rate: float  #: the best of three or four, on other cuts of the held-out prose than are reported


EVERY_MATRIX = ("query", "key", "value", "out", "up", "down")
WAYS = (
    Way(0, (), 1e-3),
    Way(1, ("query", "value"), 3e-2),
    Way(4, ("query", "value"), 3e-2),
    Way(16, ("query", "value"), 1e-2),
    Way(1, EVERY_MATRIX, 3e-2),
    Way(16, EVERY_MATRIX, 1e-2),
)
SHARED = ((4, 1), (4, 4), (1, 1))
_SHARING = shipped("sharing")


def text_losses(
    model: Transformer, text: NDArray[np.uint8], *, n_text: int = 256, seed: int = 0
) -> NDArray[np.float64]:
    """Mean loss of each of ``n_text`` random cuts as long as ``n_ctx``, in nats per byte; shape (n_text,).

    One seed draws the same cuts for every model, so that two models can be compared text by text.
    """
    generator = np.random.default_rng(seed)
    tokens, targets = sample_batch(text, batch=n_text, n=model.config.n_ctx, generator=generator)
    cuts = torch.cat([tokens, targets[:, -1:]], dim=1)
    losses = torch.cat([token_losses(model, part).mean(dim=1) for part in torch.split(cuts, 32)])
    return losses.numpy().astype(np.float64)


def standard_error(losses: NDArray[np.float64]) -> float:
    """Of the mean of independent ``losses``, shape (n_text,)."""
    return float(losses.std(ddof=1) / len(losses) ** 0.5)


def quantization_losses(
    *,
    precisions: Sequence[tuple[int, int | None]] = PRECISIONS,
    seeds: Sequence[int] = small_models.SEEDS,
    n_text: int = 256,
) -> NDArray[Any]:
    """Losses of the two-layer `small_models` on held-out text, as shipped and with quantised weights.

    The text is the validation part of `python_library`: code, and the file that holds `language_reference`.

    Parameters
    ----------
    precisions : sequence of (bits, group_size)
        As for `scaling_transformers.efficiency.quantized_linear.quantize_model`.
    seeds : sequence of int
        Of the shipped models.
    n_text : int
        Cuts that each loss is the mean over, the same for all.

    Returns
    -------
    structured array, a row for each model and precision
        ``seed``; ``bits``, 32 for the model as it is; ``group_size``, 0 where a row has one scale;
        ``n_bytes`` of the whole model in float32 and codes; ``loss`` in nats per byte and ``loss_error``, its
        standard error over the texts; ``increase`` over the model as it is, text by text, and
        ``increase_error``.
    """
    text, rows = python_library().validation, []
    for seed in seeds:
        model = small_models.load(n_layer=2, seed=seed)
        whole = text_losses(model, text, n_text=n_text)
        for bits, group_size in ((32, None), *precisions):
            if bits < 32:
                model = small_models.load(n_layer=2, seed=seed)
                quantize_model(model, bits=bits, group_size=group_size)
            losses = text_losses(model, text, n_text=n_text)
            more = losses - whole
            rows.append(
                {
                    "seed": seed,
                    "bits": bits,
                    "group_size": group_size or 0,
                    "n_bytes": n_bytes(model),
                    "loss": losses.mean(),
                    "loss_error": standard_error(losses),
                    "increase": more.mean(),
                    "increase_error": standard_error(more),
                }
            )
    return as_table(rows)


def adaptation_losses(
    *,
    ways: Sequence[Way] = WAYS,
    seeds: Sequence[int] = small_models.SEEDS,
    n_step: int = 100,
    n_text: int = 128,
) -> NDArray[Any]:
    """Losses of the two-layer `small_models`, trained on code, before and after they go on with prose.

    Each goes on from the same weights, for as many steps on the same batches of `language_reference`.

    Parameters
    ----------
    ways : sequence of Way
        Which parameters are trained, and with what learning rate.
    seeds : sequence of int
        Of the shipped models; also of the batches and of the updates.
    n_step : int
        Each of 4 texts of 128 bytes.
    n_text : int
        Held-out cuts that each loss is the mean over, the same for all.

    Returns
    -------
    structured array, a row for each model and way
        ``seed``; ``rank``, 0 where all parameters were trained; ``targets``, names with spaces between;
        ``n_trained`` parameters; ``before`` and ``after``, losses on held-out prose in nats per byte, and
        ``after_error``, the standard error over the texts; ``code_before`` and ``code_after``, losses on the
        code that the model was first trained on.
    """
    prose, code, rows = language_reference(), python_library().train, []
    for seed in seeds:
        model = small_models.load(n_layer=2, seed=seed)
        before, code_before = (text_losses(model, text, n_text=n_text) for text in (prose.validation, code))
        for way in ways:
            model = small_models.load(n_layer=2, seed=seed)
            if way.rank:
                chance = torch.Generator().manual_seed(seed)
                add_lora(model, rank=way.rank, targets=way.targets, generator=chance)
            _train(model, prose.train, batch=4, n_step=n_step, learning_rate=way.learning_rate, seed=seed)
            after, code_after = (text_losses(model, text, n_text=n_text) for text in (prose.validation, code))
            rows.append(
                {
                    "seed": seed,
                    "rank": way.rank,
                    "targets": " ".join(way.targets),
                    "n_trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
                    "before": before.mean(),
                    "after": after.mean(),
                    "after_error": standard_error(after),
                    "code_before": code_before.mean(),
                    "code_after": code_after.mean(),
                }
            )
    return as_table(rows)


def sharing_losses(
    *,
    shared: Sequence[tuple[int, int]] = SHARED,
    seeds: Sequence[int] = small_models.SEEDS,
    n_step: int = 300,
    n_text: int = 256,
) -> NDArray[Any]:
    """Losses of models of width 64 on held-out text, whose layers share weights or do not.

    All are trained on `python_library`, for as many steps on the same batches, with one learning rate. Beside
    four layers and four times the same layer stands one layer: it holds as many parameters as the
    second, and computes less.

    So short a run sees only the start of training: with more steps the models can change places, and another
    number of threads, which rounds otherwise, can move a loss by more than ``loss_error``.

    Parameters
    ----------
    shared : sequence of (n_layer, group)
        As for `scaling_transformers.efficiency.sharing.share_layers`.
    seeds : sequence of int
        Of the first weights and of the batches.
    n_step : int
        Each of 4 texts of 128 bytes.
    n_text : int
        Held-out cuts that each loss is the mean over, the same for all.

    Returns
    -------
    structured array, a row for each model
        ``seed``, ``n_layer``, ``group``, ``n_params``; ``loss`` in nats per byte and ``loss_error``, its
        standard error over the texts.
    """
    corpus, rows = python_library(), []
    for seed in seeds:
        for n_layer, group in shared:
            config = TransformerConfig(n_layer, 64, 4, vocab_size=256, n_ctx=small_models.N_CTX)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model = share_layers(Transformer(config), group=group)
            _train(model, corpus.train, batch=4, n_step=n_step, learning_rate=3e-3, seed=seed)
            losses = text_losses(model, corpus.validation, n_text=n_text)
            rows.append(
                {
                    "seed": seed,
                    "n_layer": n_layer,
                    "group": group,
                    "n_params": sum(p.numel() for p in model.parameters()),
                    "loss": losses.mean(),
                    "loss_error": standard_error(losses),
                }
            )
    return as_table(rows)


def recorded_sharing() -> tuple[NDArray[Any], dict[str, Any]]:
    """The longer runs that are shipped, as of `sharing_losses`, and the record of how they were made."""
    return read_runs(_SHARING), read_record(_SHARING)


def make_sharing(folder: Path, *, n_step: int = 1500, seeds: Sequence[int] = small_models.SEEDS) -> None:
    """Train as `sharing_losses`; write runs and record into a folder."""
    write_runs(
        folder,
        sharing_losses(n_step=n_step, seeds=seeds),
        command="python -m scaling_transformers.training.efficiency",
        corpus=python_library(),
        n_step=n_step,
    )


def n_bytes(model: Transformer) -> int:
    """Bytes of a model's parameters and stored buffers, what several names share counted once."""
    stored = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}
    return sum(tensor.nbytes for tensor in stored.values())


def _train(model: Transformer, text: NDArray[np.uint8], **options: Any) -> None:
    """On cuts as long as the model reads."""
    train(model, text, n=model.config.n_ctx, **options)


if __name__ == "__main__":
    torch.set_num_threads(1)  # as the record says; more would round otherwise
    make_sharing(Path(str(_SHARING)))
