"""Four ways to lessen a bias: other texts, other weights of the texts, a direction taken out, a penalty.

And what they cost: the loss on the text as it is, and on text without the bias.
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scaling_transformers.attention.masks import require_count
from scaling_transformers.model import Transformer
from scaling_transformers.society.language_bias import log_probability
from scaling_transformers.society.planted import columns
from scaling_transformers.training.engine import MAX_NORM
from scaling_transformers.training.loop import rate_factor, weight_groups


def augment(sentences: ArrayLike, *, swap: ArrayLike) -> NDArray[np.uint8]:
    """The sentences, and each of them again with the groups swapped; shape (2 n, length).

    Source: Lu et al. 2018 (counterfactual data augmentation).
    """
    sentences, swap = np.asarray(sentences, np.uint8), np.asarray(swap, np.uint8)
    return np.concatenate([sentences, swap[sentences]])


def independence_weights(*labels: ArrayLike) -> NDArray[np.float64]:
    """Weights of texts under which their labels do not depend on each other, but are as frequent as before.

    A text weighs what its combination of labels would have if they were independent, over what it has.
    The weights' mean is 1 where every combination occurs; one that does not occur cannot be weighted.

    Parameters
    ----------
    *labels : integers, shape (n,) each, two or more
        For example each text's group and its outcome.

    Returns
    -------
    array, shape (n,)

    Raises
    ------
    ValueError
        If there are fewer than two labels, or they differ in length.

    Examples
    --------
    Three of group 0 hold the job and one does not; in group 1 it is the other way round:

    >>> group, job = [0, 0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0, 1]
    >>> independence_weights(group, job).round(2).tolist()
    [0.67, 0.67, 0.67, 2.0, 0.67, 0.67, 0.67, 2.0]

    Source: Kamiran and Calders 2012 (reweighing), for two labels.
    """
    columns = [np.asarray(label) for label in labels]
    if len(columns) < 2 or len({column.shape for column in columns}) > 1 or columns[0].ndim != 1:
        raise ValueError(f"labels must be two or more of one length; got {[c.shape for c in columns]}")
    expected, n = np.ones(len(columns[0])), len(columns[0])
    for column in columns:
        _, index, counts = np.unique(column, return_inverse=True, return_counts=True)
        expected *= counts[index] / n
    _, index, counts = np.unique(np.stack(columns), axis=1, return_inverse=True, return_counts=True)
    return expected / (counts[index.ravel()] / n)


def sentence_weights(sentences: ArrayLike) -> NDArray[np.float64]:
    """`independence_weights` of the group, work and attribute of sentences of the planted language.

    Each kind of sentence is weighted by itself, by the labels that it has; those on things weigh 1.
    """
    labels = np.stack(columns(sentences))
    _, kind = np.unique(labels >= 0, axis=1, return_inverse=True)
    weights = np.empty(labels.shape[1])
    for number in np.unique(kind):
        here = kind.ravel() == number
        weights[here] = independence_weights(*labels[:, here])
    return weights


def effective_size(weights: ArrayLike) -> float:
    """How many equally weighted texts have as much to say as these: (sum of w)² / (sum of w²).

    Source: Kish 1965.
    """
    weights = np.asarray(weights, float)
    return float(weights.sum() ** 2 / (weights**2).sum())


def bias_direction(of_one: ArrayLike, of_other: ArrayLike) -> NDArray[np.float64]:
    """The direction in which the pairs of two groups' vectors differ most, of length 1, shape (d,).

    The first principal direction of the pairs' differences. It points to the first group.

    Parameters
    ----------
    of_one, of_other : array_like, shape (n, d) each
        Row by row the vectors of a pair of terms.

    Raises
    ------
    ValueError
        If the two have not the same shape with two axes.

    Source: Bolukbasi et al. 2016.
    """
    one, other = np.asarray(of_one, float), np.asarray(of_other, float)
    if one.ndim != 2 or one.shape != other.shape:
        raise ValueError(f"of_one and of_other must be pairs of vectors; got {one.shape} and {other.shape}")
    difference = one - other
    direction: NDArray[np.float64] = np.linalg.svd(difference, full_matrices=False)[2][0]
    return direction if difference.sum(axis=0) @ direction >= 0 else -direction


def project_out(vectors: ArrayLike, direction: ArrayLike) -> NDArray[np.float64]:
    """The vectors (n, d) without their part along a ``direction`` (d,) of length 1."""
    vectors, direction = np.asarray(vectors, float), np.asarray(direction, float)
    return vectors - np.outer(vectors @ direction, direction)


def neutralise(model: Transformer, tokens: ArrayLike, *, direction: ArrayLike) -> Transformer:
    """A copy of a model whose embeddings of some tokens have no part along a direction.

    The vectors keep their new length. In a model with tied embeddings the rows that read the last states
    change with them.

    Source: Bolukbasi et al. 2016, the step "neutralize" without its rescaling.
    """
    copy, rows = deepcopy(model), np.asarray(tokens).astype(np.int64)
    with torch.no_grad():
        table = copy.embedding.weight
        table[rows] = torch.from_numpy(project_out(table[rows].numpy(), direction)).to(table)
    return copy


def project_states(model: Transformer, *, direction: ArrayLike) -> Transformer:
    """A copy of a model whose logits do not see the part of the last states along a direction.

    The matrix that reads the states loses that part of its rows, and is no longer tied to the embedding.
    Nothing else of the model changes.

    Source: Ravfogel et al. 2020, one step of their projection; they find the direction by a classifier.
    """
    copy = deepcopy(model)
    rows = copy.unembedding.weight.detach()
    copy.unembedding.weight = nn.Parameter(torch.from_numpy(project_out(rows.numpy(), direction)).to(rows))
    return copy


def counterfactual_penalty(model: Transformer, sentences: Tensor, swap: Tensor) -> Tensor:
    """Mean squared difference of the log-probabilities of each word as it is and with the groups swapped.

    Zero for a model that finds every sentence, word by word, as likely as the one with the groups swapped.

    Parameters
    ----------
    sentences : integer tensor, shape (batch, length)
    swap : integer tensor, shape (vocab_size,)

    Returns
    -------
    tensor without axes, in nats²
    """
    as_is, swapped = (_log_probabilities(model, texts) for texts in (sentences, swap[sentences]))
    return (as_is - swapped).square().mean()


def fine_tune(
    model: Transformer,
    sentences: NDArray[np.uint8],
    *,
    swap: ArrayLike,
    penalty: float,
    n_step: int,
    batch: int,
    learning_rate: float,
    seed: int = 0,
) -> Transformer:
    """A copy of a model, trained further on whole sentences with `counterfactual_penalty` added to the loss.

    Optimiser, schedule and clipping are those of `scaling_transformers.training.train`.

    Parameters
    ----------
    sentences : integers, shape (n, length)
    swap : integers, shape (vocab_size,)
    penalty : float
        Factor of the penalty, at least 0, in nats of loss for a nat² of difference.
    n_step, batch, learning_rate, seed : as for `scaling_transformers.training.train`

    Raises
    ------
    ValueError
        If an argument is outside what is said above.
    """
    require_count(n_step=n_step, batch=batch)
    if not (math.isfinite(penalty) and penalty >= 0):
        raise ValueError(f"penalty must be finite and at least 0; got {penalty!r}")
    tuned, generator = deepcopy(model).train(), np.random.default_rng(seed)
    groups = weight_groups(tuned, learning_rate=learning_rate, transfer=False)
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)
    counterpart = torch.from_numpy(np.asarray(swap).astype(np.int64))
    for step in range(n_step):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * rate_factor(step, n_step=n_step)
        picked = sentences[generator.integers(len(sentences), size=batch)]
        texts = torch.from_numpy(picked.astype(np.int64))
        loss = -_log_probabilities(tuned, texts).mean()
        loss = loss + penalty * counterfactual_penalty(tuned, texts, counterpart)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), MAX_NORM)
        optimizer.step()
    return tuned.eval()


class Cost(NamedTuple):
    """Rise of the loss through a mitigation, in nats per word; negative where the model became better.

    Attributes
    ----------
    original : on the text that has the bias
    unbiased : on text without it
    """

    original: float
    unbiased: float


def loss_cost(before: Transformer, after: Transformer, *, original: ArrayLike, unbiased: ArrayLike) -> Cost:
    """What a mitigation costs: the loss after it less the loss before it, on two sets of sentences.

    Parameters
    ----------
    original, unbiased : integers, shape (n, length) each
    """
    rises = [
        float((log_probability(before, texts) - log_probability(after, texts)).mean())
        for texts in (original, unbiased)
    ]
    return Cost(*rises)


def _log_probabilities(model: Transformer, sentences: Tensor) -> Tensor:
    """Of each word but the first given those before it, with gradients; shape (batch, length - 1)."""
    logits = model(sentences[:, :-1])
    assert isinstance(logits, Tensor)
    return -F.cross_entropy(logits.transpose(1, 2), sentences[:, 1:], reduction="none")


def sample_sentences(
    text: NDArray[np.unsignedinteger],
    *,
    batch: int,
    n: int,
    generator: np.random.Generator,
    weights: ArrayLike | None = None,
) -> tuple[Tensor, Tensor]:
    """Whole sentences of a text, at random: a ``sampler`` for `scaling_transformers.training.train`.

    Parameters
    ----------
    text : integers, shape (sentences times ``n + 1``,)
        Sentences of ``n + 1`` words, one after the other.
    batch, n, generator : as for `scaling_transformers.training.sample_batch`
    weights : array_like, shape (sentences,), optional
        How often to draw each, up to a common factor; default all alike.

    Raises
    ------
    ValueError
        If ``text`` does not consist of such sentences, or ``weights`` do not fit them.
    """
    require_count(batch=batch, n=n)
    if text.ndim != 1 or len(text) == 0 or len(text) % (n + 1):
        raise ValueError(f"text must consist of sentences of {n + 1} words; got shape {text.shape}")
    sentences, shares = text.reshape(-1, n + 1), None
    if weights is not None:
        shares = np.asarray(weights, float)
        if shares.shape != (len(sentences),) or not (shares >= 0).all() or shares.sum() == 0:
            raise ValueError(f"weights must be {len(sentences)} numbers of at least 0; got {shares.shape}")
        shares = shares / shares.sum()
    picked = torch.from_numpy(
        sentences[generator.choice(len(sentences), size=batch, p=shares)].astype(np.int64)
    )
    return picked[:, :-1], picked[:, 1:]
