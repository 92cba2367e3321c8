"""What a trained model remembers of its context: recall by position, savings after a delay, n-back.

Everything here works on a `Transformer` and on whole tokens, whatever they stand for.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from scaling_transformers.attention.masks import require_count
from scaling_transformers.cognition.detection import fit_readout
from scaling_transformers.model import Transformer
from scaling_transformers.model.trace import Trace
from scaling_transformers.training.loop import measuring, token_losses
from scaling_transformers.training.small_models import copying_scores

_ROWS = 64  # texts that one pass reads


def draw_lists(pool: ArrayLike, *, n_list: int, length: int, seed: int = 0) -> Tensor:
    """Lists of items, none twice in a list; integer tensor, shape (n_list, length).

    Parameters
    ----------
    pool : array_like of tokens, shape (n,), no token twice
        What an item may be.

    Raises
    ------
    ValueError
        If the pool holds fewer than ``length`` items.
    """
    pool = np.asarray(pool)
    require_count(n_list=n_list, length=length)
    if pool.ndim != 1 or len(np.unique(pool)) != pool.size or pool.size < length:
        raise ValueError(f"pool must hold at least length={length} items, none twice; got {pool.size}")
    generator = np.random.default_rng(seed)
    ranks = generator.random((n_list, pool.size)).argsort(axis=1)[:, :length]
    return torch.from_numpy(pool[ranks].astype(np.int64))


def draw_letters(pool: ArrayLike, *, n_list: int, length: int, seed: int = 0) -> Tensor:
    """Sequences of items for an n-back task, each drawn anew from the pool; (n_list, length)."""
    pool = np.asarray(pool)
    require_count(n_list=n_list, length=length)
    drawn = np.random.default_rng(seed).choice(pool, size=(n_list, length))
    return torch.from_numpy(drawn.astype(np.int64))


def probe_recall(
    model: Transformer, lists: Tensor, *, lead: int, head_gate: Tensor | None = None
) -> NDArray[np.bool_]:
    """Which items of a list the model names when it is shown the list, and then the item before.

    The model reads ``lead``, the whole list, and the item before the one that is asked for (the lead for the
    first). It names that item of the list to which it gives the largest probability, so that a guess is
    right once in ``length``.

    Parameters
    ----------
    lists : integer tensor, shape (n_list, length), no item twice in a list, length at most ``n_ctx - 2``
    lead : int
        A token that stands in no list.
    head_gate : tensor, shape (n_layer, n_head), optional
        Factor on the output of each head: 0 removes it.

    Returns
    -------
    boolean array, shape (n_list, length)
    """
    n_list, length = lists.shape
    study = torch.cat([torch.full((n_list, 1), lead), lists], dim=1)
    cues = study[:, :-1].reshape(-1, 1)  # one probe for each item of each list
    probes = torch.cat([study.repeat_interleave(length, dim=0), cues], dim=1)
    with measuring(model):
        logits = torch.cat([_last_logits(model, rows, head_gate) for rows in torch.split(probes, _ROWS)])
    named = logits.gather(1, lists.repeat_interleave(length, dim=0)).argmax(dim=1)
    right: NDArray[np.bool_] = (named.reshape(n_list, length) == torch.arange(length)).numpy()
    return right


def _last_logits(model: Transformer, tokens: Tensor, head_gate: Tensor | None) -> Tensor:
    """Logits after the last token alone, shape (batch, vocab_size)."""
    logits: Tensor = model.unembedding(model.hidden(tokens, head_gate=head_gate)[:, -1])
    return logits


def savings(
    model: Transformer,
    lists: Tensor,
    others: Tensor,
    filler: Tensor,
    *,
    head_gate: Tensor | None = None,
) -> NDArray[np.float64]:
    """What a model saves on a list that it has seen before: Ebbinghaus's measure, with loss for time.

    The model reads a list, a filler and the list again, of which no more than the last ``n_ctx`` tokens reach
    it. Savings are 1 less the ratio of its loss on the second showing to that after another list in the first
    place: 1 if the list has been learned by heart, 0 if nothing is left of it.

    Parameters
    ----------
    lists, others : integer tensors, shape (n_list, length)
    filler : integer tensor, shape (n_list, n_filler), or (n_list, 0)

    Returns
    -------
    array, shape (n_list,)

    Source: Ebbinghaus 1885, for the measure.
    """
    again, first = (_relearn(model, study, filler, lists, head_gate) for study in (lists, others))
    return 1 - again / first


def _relearn(
    model: Transformer, study: Tensor, filler: Tensor, lists: Tensor, head_gate: Tensor | None
) -> NDArray[np.float64]:
    """Mean loss on each list, in nats per item, after another (or the same) and a filler."""
    stream = torch.cat([study, filler, lists], dim=1)[:, -model.config.n_ctx :]
    losses = [token_losses(model, rows, head_gate=head_gate) for rows in torch.split(stream, _ROWS)]
    last: NDArray[np.float64] = torch.cat(losses)[:, -lists.shape[1] :].double().mean(dim=1).numpy()
    return last


def states(model: Transformer, tokens: Tensor, *, head_gate: Tensor | None = None) -> NDArray[np.float64]:
    """States after every block, side by side: shape (batch, n, n_layer * d_model)."""
    found = []
    with measuring(model):
        for rows in torch.split(tokens, _ROWS):
            trace = Trace(states=[])
            model.hidden(rows, head_gate=head_gate, trace=trace)
            found.append(torch.cat(trace.states or [], dim=-1))
    joined: NDArray[np.float64] = torch.cat(found).double().numpy()
    return joined


def same_as_back(tokens: Tensor, *, lag: int) -> NDArray[np.bool_]:
    """Where a token is the same as ``lag`` tokens before; shape (batch, n - lag), from token ``lag`` on."""
    require_count(lag=lag)
    if lag >= tokens.shape[1]:
        raise ValueError(f"lag must be less than the {tokens.shape[1]} tokens; got {lag}")
    same: NDArray[np.bool_] = (tokens[:, lag:] == tokens[:, :-lag]).numpy()
    return same


def n_back(
    model: Transformer,
    practice: Tensor,
    test: Tensor,
    *,
    lags: Iterable[int],
    head_gate: Tensor | None = None,
) -> dict[int, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Answers of linear readouts of a model's states to "is this the item so many back?", and the truth.

    For each lag a readout is fitted to the states on the ``practice`` sequences, and asked on those of the
    ``test``. The model itself is not trained for the task; whether an item is that of a while ago is in the
    state only if attention has put it there.

    Parameters
    ----------
    practice, test : integer tensors, shape (n_list, n), as of `draw_letters`

    Returns
    -------
    dict of pairs of boolean arrays, both of shape (n_list of the test, n - lag), by lag
    """
    learned, asked = (states(model, tokens, head_gate=head_gate) for tokens in (practice, test))
    found = {}
    for lag in lags:
        targets = same_as_back(practice, lag=lag)
        readout = fit_readout(learned[:, lag:].reshape(targets.size, -1), targets.reshape(-1))
        found[lag] = readout(asked[:, lag:]), same_as_back(test, lag=lag)
    return found


def copying_heads(model: Transformer, lists: Tensor) -> dict[str, NDArray[np.float64]]:
    """`scaling_transformers.training.small_models.copying_scores` on lists, each shown twice."""
    with measuring(model):
        return copying_scores(model, torch.cat([lists, lists], dim=1), period=lists.shape[1])


def gate_without(heads: ArrayLike) -> Tensor:
    """Factor 0 on the marked heads, 1 on the others; from booleans of shape (n_layer, n_head)."""
    return torch.from_numpy(np.where(np.asarray(heads, dtype=bool), 0.0, 1.0).astype(np.float32))


def strongest(scores: ArrayLike, *, n_head: int) -> NDArray[np.bool_]:
    """Marks the ``n_head`` heads of the largest scores; booleans of the shape of the scores."""
    scores = np.asarray(scores, dtype=float)
    require_count(n_head=n_head)
    if n_head > scores.size:
        raise ValueError(f"n_head must be at most the {scores.size} heads there are; got {n_head}")
    marks = np.zeros(scores.size, dtype=bool)
    marks[np.argsort(-scores, axis=None, kind="stable")[:n_head]] = True
    return marks.reshape(scores.shape)


def random_others(heads: ArrayLike, *, seed: int = 0) -> NDArray[np.bool_]:
    """Marks as many heads as are marked, drawn from those that are not."""
    heads = np.asarray(heads, dtype=bool)
    free = np.flatnonzero(~heads)
    if heads.sum() > free.size:
        raise ValueError(f"heads must mark at most half of the {heads.size} heads; got {heads.sum()}")
    marks = np.zeros(heads.size, dtype=bool)
    marks[np.random.default_rng(seed).choice(free, size=int(heads.sum()), replace=False)] = True
    return marks.reshape(heads.shape)
