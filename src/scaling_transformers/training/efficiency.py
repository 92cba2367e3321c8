"""What a small model of the book loses, or learns, when its weights are rounded, updated or shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scaling_transformers.efficiency.lora import add_lora
from scaling_transformers.efficiency.quantized_linear import quantize_model
from scaling_transformers.model import Transformer
from scaling_transformers.training import small_models
from scaling_transformers.training.corpora import language_reference, python_library
from scaling_transformers.training.loop import sample_batch, token_losses, train

PRECISIONS = ((8, None), (4, None), (4, 32), (3, None), (3, 32), (2, None), (2, 32))
RANKS = (1, 4, 16)
RATE_FULL, RATE_LORA = 1e-3, 1e-2
BATCH = 4


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
    """Losses on held-out code of the two-layer `small_models`, as shipped and with quantised weights.

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
    return _table(rows)


def adaptation_losses(
    *,
    ranks: Sequence[int] = RANKS,
    seeds: Sequence[int] = small_models.SEEDS,
    n_step: int = 150,
    n_text: int = 128,
) -> NDArray[Any]:
    """Losses of the two-layer `small_models`, trained on code, before and after they go on with prose.

    Each goes on from the same weights, for as many steps on the same batches of `language_reference`: once
    all of its parameters, then low-rank updates to queries and values alone. Each way has the learning rate
    that was best for it among several.

    Parameters
    ----------
    ranks : sequence of int
        Of the updates.
    seeds : sequence of int
        Of the shipped models; also of the batches and of the updates.
    n_step : int
        Each of 4 texts of 128 bytes.
    n_text : int
        Held-out cuts that each loss is the mean over.

    Returns
    -------
    structured array, a row for each model and way
        ``seed``; ``rank``, 0 where all parameters were trained; ``n_trained`` parameters; ``before`` and
        ``after``, losses on held-out prose in nats per byte, and ``after_error``, the standard error over the
        texts; ``code_before`` and ``code_after``, the same on the code that the model was first trained on.
    """
    prose, code, rows = language_reference(), python_library().train, []
    for seed in seeds:
        for rank in (0, *ranks):
            model = small_models.load(n_layer=2, seed=seed)
            before, code_before = (
                text_losses(model, text, n_text=n_text) for text in (prose.validation, code)
            )
            if rank:
                add_lora(model, rank=rank, generator=torch.Generator().manual_seed(seed))
            train(
                model,
                prose.train,
                n_step=n_step,
                batch=BATCH,
                n=model.config.n_ctx,
                learning_rate=RATE_LORA if rank else RATE_FULL,
                seed=seed,
            )
            after, code_after = (text_losses(model, text, n_text=n_text) for text in (prose.validation, code))
            rows.append(
                {
                    "seed": seed,
                    "rank": rank,
                    "n_trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
                    "before": before.mean(),
                    "after": after.mean(),
                    "after_error": standard_error(after),
                    "code_before": code_before.mean(),
                    "code_after": code_after.mean(),
                }
            )
    return _table(rows)


def n_bytes(model: Transformer) -> int:
    """Bytes of a model's parameters and stored buffers, what several names share counted once."""
    stored = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}
    return sum(tensor.nbytes for tensor in stored.values())


def _table(rows: Sequence[dict[str, Any]]) -> NDArray[Any]:
    """Rows as a structured array."""
    kinds = [(name, "f8" if isinstance(value, float) else "i8") for name, value in rows[0].items()]
    return np.array([tuple(row.values()) for row in rows], dtype=kinds)
