"""Answering before the last block: what each block would say, when to believe it, and what that saves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scaling_transformers.attention.masks import require_count
from scaling_transformers.config import TransformerConfig
from scaling_transformers.model import Trace, Transformer
from scaling_transformers.sparsity.halting import key_value_flops, require_layers, token_flops

TEMPERATURES = (0.01, 100.0)  # between which `fit_temperature` looks


def require_exits(config: TransformerConfig) -> None:
    """Refuse a config whose tokens do not all pass ``n_layer`` blocks, so that no block is an exit of all."""
    if config.skips not in (None, "pattern"):
        raise ValueError(
            f"exits need tokens that pass every block; got {config.skips}={getattr(config, config.skips)!r}"
        )


def exit_states(model: Transformer, tokens: Tensor) -> Tensor:
    """The states after every block through the model's last norm, shape (n_layer, batch, n, d_model).

    ``model.unembedding`` of them are the logits that each block would answer with, where every token has
    passed all blocks before (the logit lens); the last ones are the model's.

    Raises
    ------
    ValueError
        If tokens skip blocks of the model; for ``tokens`` as `Transformer.forward`.

    Source: nostalgebraist 2020 (interpreting GPT: the logit lens).
    """
    require_exits(model.config)
    trace = Trace(states=[])
    model.hidden(tokens, trace=trace)
    return torch.stack(trace.states or [])


@dataclass(frozen=True)
class EarlyExit:
    """The answers of a decoder whose tokens leave at the first block that is sure enough.

    Attributes
    ----------
    predictions : integer tensor, shape (batch, n)
        The likeliest next token by the block at which a token leaves.
    logits : tensor, shape (batch, n, vocab_size)
        Of that block.
    layer : integer tensor, shape (batch, n)
        Blocks passed, from 1 to ``n_layer``.
    confidence : tensor, shape (batch, n)
        Probability of the prediction.
    flops : int
        What a decoder runs that reads token by token: the blocks a token passes; of the blocks that it skips
        the keys and values, which later tokens read; and an unembedding for each block that it asks.
    flops_full : int
        What it runs without exits.
    """

    predictions: Tensor
    logits: Tensor
    layer: Tensor
    confidence: Tensor
    flops: int
    flops_full: int

    @property
    def share(self) -> float:
        """FLOPs run, as a share of those without exits; above 1 where the asking costs more than it saves."""
        return self.flops / self.flops_full


@torch.no_grad()
def early_exit(
    model: Transformer, tokens: Tensor, *, threshold: float, temperatures: ArrayLike | None = None
) -> EarlyExit:
    """Let each token leave at the first block whose likeliest next token has at least some probability.

    The state of a token that has left stands in for its states after the blocks that it skips: later tokens
    read their keys and values off it. So the answers are those of a decoder that skips the blocks, token by
    token, though here all are computed at once. At a threshold above 1 none leaves, and the answers are the
    model's.

    Parameters
    ----------
    tokens : integer tensor, shape (batch, n)
    threshold : float
        Positive and finite.
    temperatures : array_like, shape (n_layer,), optional
        By which each block's logits are divided before their probabilities are read, as of
        `fit_temperature`. Default 1.

    Raises
    ------
    ValueError
        If the model is an encoder or its tokens skip blocks, or an argument is out of range.

    Source: Schuster et al. 2022 (CALM), softmax-based confidence, here the largest probability; Elbayad et
    al. 2020 (Depth-Adaptive Transformer) for the states in the place of those that are skipped.
    """
    config = model.config
    require_exits(config)
    if config.kind != "decoder":
        raise ValueError(f"kind must be 'decoder' in the config to exit early; got {config.kind!r}")
    if not 0 < threshold < math.inf:
        raise ValueError(f"threshold must be positive and finite; got {threshold!r}")
    divisors = np.ones(config.n_layer) if temperatures is None else np.asarray(temperatures, dtype=float)
    if divisors.shape != (config.n_layer,) or not ((divisors > 0) & (divisors < math.inf)).all():
        raise ValueError(f"temperatures must be {config.n_layer} positive numbers; got {temperatures!r}")
    left = _Leaving(model, threshold=threshold, temperatures=divisors)
    # A block may stand in several places; then it is called, and its hook with it, as often.
    hooks = [block.register_forward_hook(left.after_block) for block in dict.fromkeys(model.blocks)]
    try:
        logits = model(tokens)  # a state that was kept to the end is read as it was where it left
    finally:
        for hook in hooks:
            hook.remove()
    confidence = left.confidence(logits, left.layer)
    flops, flops_full = exit_flops(config, left.layer)
    return EarlyExit(logits.argmax(dim=-1), logits, left.layer, confidence, flops, flops_full)


class _Leaving:
    """Who has left, and with what, as the blocks are passed one after the other."""

    def __init__(self, model: Transformer, *, threshold: float, temperatures: NDArray[np.float64]):
        self.model, self.threshold = model, threshold
        self.temperatures = torch.as_tensor(temperatures).to(model.embedding.weight)
        self.n_passed = 0
        self.layer: Any = None  # a tensor from the first block on

    def confidence(self, logits: Tensor, layer: Tensor | int) -> Tensor:
        """The largest probability of logits after so many blocks."""
        return (logits / self.temperatures[layer - 1][..., None]).softmax(dim=-1).amax(dim=-1)

    def after_block(self, block: nn.Module, given: tuple[Any, ...], out: tuple[Tensor, Any]) -> Any:
        """Keep the states of those who left before, and see who leaves now."""
        self.n_passed += 1
        config, before, (x, weights) = self.model.config, given[0], out
        if self.layer is None:
            self.layer = torch.full(x.shape[:2], config.n_layer, device=x.device)
        here = self.layer >= self.n_passed
        x = torch.where(here[..., None], x, before)
        if self.n_passed < config.n_layer:  # the last block is not asked
            logits = self.model.unembedding(self.model.final_norm(x))
            leaves = here & (self.confidence(logits, self.n_passed) >= self.threshold)
            self.layer = torch.where(leaves, self.n_passed, self.layer)
        return x, weights


def exit_flops(config: TransformerConfig, layer: Tensor) -> tuple[int, int]:
    """FLOPs of a decoder whose tokens leave after ``layer`` blocks, token by token; and without exits.

    Counted as `EarlyExit` says. A token's scores are those with itself and the tokens before it.

    Parameters
    ----------
    layer : integer tensor, shape (batch, n)
        From 1 to ``n_layer``.

    Raises
    ------
    ValueError
        If a number is out of range, or tokens skip blocks of the model otherwise.
    """
    require_exits(config)
    require_layers(layer, config, name="layer")
    layer, of_block = layer.cpu(), token_flops(config, n=layer.shape[1])
    asking = 2 * config.d_model * config.vocab_size
    run = layer * (of_block + asking) + (config.n_layer - layer) * key_value_flops(config)
    full = config.n_layer * of_block + asking
    return int(run.sum()), len(layer) * int(full.sum())


@dataclass(frozen=True)
class Calibration:
    """How far confidence is from accuracy, bin by bin and in all.

    Attributes
    ----------
    count : integer array, shape (n_bin,)
        Answers with a confidence in each bin.
    confidence, accuracy : arrays, shape (n_bin,)
        Their means; NaN in an empty bin.
    error : float
        Expected calibration error: the mean over answers of their bin's \\|accuracy - confidence\\|.
    interval : (float, float)
        Where the errors of the middle 95 % of samples lie that are drawn from the answers with replacement.
        A resample has more chance in it than the answers, so its errors lean to the high side. Answers are
        taken as independent, which those of one text are not.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float
    interval: tuple[float, float]


def calibration(
    confidence: ArrayLike, correct: ArrayLike, *, n_bin: int = 15, n_bootstrap: int = 1000, seed: int = 0
) -> Calibration:
    """Reliability table and expected calibration error of answers, in bins of equal width.

    Parameters
    ----------
    confidence : array_like, shape (n,)
        Probability that each answer gave itself.
    correct : array_like, shape (n,)
        Whether it was right.
    n_bin : int
        Bins from 0 to 1; a confidence at the border of two is in the lower one.
    n_bootstrap, seed : int
        Samples for the interval, and the seed of their drawing.

    Raises
    ------
    ValueError
        If the shapes differ or are empty, a confidence is not from 0 to 1, ``correct`` holds other values
        than True and False, or a number is not a whole one of at least 1.

    Examples
    --------
    >>> round(calibration([0.9, 0.9, 0.6, 0.6], [True, True, True, False], n_bin=2).error, 3)
    0.0

    Source: Guo et al. 2017, section 2.
    """
    require_count(n_bin=n_bin, n_bootstrap=n_bootstrap)
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct)
    if sure.ndim != 1 or sure.shape != right.shape or not sure.size:
        raise ValueError(
            f"confidence and correct must have one shape (n,); got {sure.shape} and {right.shape}"
        )
    if not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError("confidence must lie from 0 to 1; it holds other values")
    if not np.isin(right, (0, 1)).all():
        raise ValueError("correct must hold True and False; it holds other values")
    place = np.clip(np.ceil(sure * n_bin).astype(np.int64) - 1, 0, None)
    gap = right - sure

    def error_of(place: NDArray[np.int64], gap: NDArray[np.float64]) -> float:
        return float(np.abs(np.bincount(place, weights=gap)).sum() / len(gap))

    count = np.bincount(place, minlength=n_bin)
    with np.errstate(invalid="ignore"):  # 0 / 0 of an empty bin
        mean_sure, mean_right = (
            np.bincount(place, weights=values, minlength=n_bin) / count for values in (sure, right)
        )
    generator, samples = np.random.default_rng(seed), np.empty(n_bootstrap)
    for sample in range(n_bootstrap):
        drawn = generator.integers(len(gap), size=len(gap))
        samples[sample] = error_of(place[drawn], gap[drawn])
    low, high = (float(value) for value in np.quantile(samples, (0.025, 0.975)))
    return Calibration(count, mean_sure, mean_right, error_of(place, gap), (low, high))


@torch.no_grad()
def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The number that logits are best divided by: that of the least cross-entropy of the targets.

    The loss is convex in 1 / temperature; Newton's steps, halved in where they leave the bracket, find its
    least. Answers from `TEMPERATURES` alone: where every answer is right, the best would be 0.

    Parameters
    ----------
    logits : tensor, shape (..., vocab_size)
        Of one exit, on text that neither the model was trained on nor the calibration is measured on.
    targets : integer tensor, shape (...)

    Raises
    ------
    ValueError
        If the shapes do not go together, or a logit is not finite.

    Source: Guo et al. 2017, section 4 (temperature scaling).
    """
    if logits.shape[:-1] != targets.shape or not targets.numel():
        raise ValueError(
            f"targets must have the shape of logits but its last axis; "
            f"got {tuple(targets.shape)} and {tuple(logits.shape)}"
        )
    if not bool(logits.isfinite().all()):
        raise ValueError("logits must be finite; they hold NaN or infinity")
    z = logits.flatten(0, -2).double()
    z = z - z.gather(1, targets.flatten()[:, None])  # less the target's: the loss is logsumexp(z / T)
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    inverse = 1.0
    for _ in range(100):
        chances = F.softmax(inverse * z, dim=1)
        mean = (chances * z).sum(dim=1)
        slope, bend = float(mean.mean()), float(((chances * z.square()).sum(dim=1) - mean.square()).mean())
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        newton = inverse - slope / bend if bend > 0 else math.nan
        new = newton if low <= newton <= high else math.sqrt(low * high)
        if abs(new - inverse) <= 1e-12 * inverse:
            break
        inverse = new
    return 1 / inverse
