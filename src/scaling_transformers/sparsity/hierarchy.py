"""Fewer positions for more tokens: pool tokens to groups or patches, and spread what came out of them.

A short position is opened by a token and averages what was read since the last one was opened, up to and with
the token that opens it. The tokens from there to the next opening read it. So no token reads of a later one:
this is what the shift to the right by one group less one token, in the hourglass, is for.
"""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor
from torch.nn import functional as F

from scaling_transformers.attention.masks import require_count


def pool_groups(x: Tensor, *, size: int) -> Tensor:
    """Average tokens by groups of ``size``, the first of which holds the first token alone.

    Group ``g`` ends with token ``g * size``: the text is shifted right by ``size - 1`` and cut into groups.
    What the shift leaves empty in the first group does not count in its mean.

    Parameters
    ----------
    x : tensor, shape (batch, n, d)
    size : int

    Returns
    -------
    tensor, shape (batch, ceil(n / size), d)

    Raises
    ------
    ValueError
        If ``x`` has other axes or ``size`` is not a whole number of at least 1.

    Examples
    --------
    >>> pool_groups(torch.arange(5.0)[None, :, None], size=2).flatten().tolist()
    [0.0, 1.5, 3.5]

    Source: Nawrot et al. 2022 (Hierarchical Transformers Are More Efficient Language Models).
    """
    _require_states(x)
    require_count(size=size)
    n_group = math.ceil(x.shape[1] / size)
    shifted = F.pad(x, (0, 0, size - 1, 0))[:, : n_group * size]
    total = shifted.reshape(x.shape[0], n_group, size, x.shape[2]).sum(dim=2)
    return torch.cat([total[:, :1], total[:, 1:] / size], dim=1)


def spread_groups(short: Tensor, *, size: int, n: int) -> Tensor:
    """Give each of ``n`` tokens the state of the last group that is complete when the token is read.

    Undoes the shape of `pool_groups`: (batch, ceil(n / size), d) becomes (batch, n, d).

    Raises
    ------
    ValueError
        If the number of groups is not that of ``n`` tokens.
    """
    _require_states(short)
    require_count(size=size, n=n)
    if short.shape[1] != math.ceil(n / size):
        raise ValueError(
            f"short must have ceil(n / size)={math.ceil(n / size)} positions; got {short.shape[1]}"
        )
    return short.repeat_interleave(size, dim=1)[:, :n]


def pool_patches(x: Tensor, starts: Tensor) -> Tensor:
    """Average tokens by patches of any length: those after one start, up to and with the next.

    Parameters
    ----------
    x : tensor, shape (batch, n, d)
    starts : boolean tensor, shape (batch, n)
        True where a patch begins; the first token begins one.

    Returns
    -------
    tensor, shape (batch, n_patch, d)
        ``n_patch`` is the largest number of starts in a text. A text with fewer has padding after its last
        patch, which holds numbers without meaning: causal attention never reads it, nor does any token.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a text does not begin with a start.

    Examples
    --------
    >>> starts = torch.tensor([[True, False, False, True, True]])
    >>> pool_patches(torch.arange(5.0)[None, :, None], starts).flatten().tolist()
    [0.0, 2.0, 4.0]
    """
    _require_states(x)
    require_starts(starts, (x.shape[0], x.shape[1]))
    so_far = starts.cumsum(dim=1)
    patch = so_far - starts.long()  # starts before the token: it belongs to the patch that the next completes
    n_patch = int(so_far[:, -1].max())
    one_more = x.new_zeros(x.shape[0], n_patch + 1, x.shape[2])  # for what follows the last start
    total = one_more.scatter_add(1, patch[..., None].expand_as(x), x)[:, :n_patch]
    count = x.new_zeros(x.shape[0], n_patch + 1).scatter_add(1, patch, x.new_ones(patch.shape))
    return total / count[:, :n_patch, None].clamp(min=1)


def spread_patches(short: Tensor, starts: Tensor) -> Tensor:
    """Give each token the state of the patch that was completed by the last start, its own included.

    Undoes the shape of `pool_patches`: (batch, n_patch, d) becomes (batch, n, d).

    Raises
    ------
    ValueError
        If the shapes do not fit, or a text does not begin with a start.
    """
    _require_states(short)
    require_starts(starts, (short.shape[0], starts.shape[-1]))
    place = starts.cumsum(dim=1) - 1
    if int(place.max()) + 1 != short.shape[1]:
        raise ValueError(f"short must have a position for each start; got {short.shape[1]}")
    return short.gather(1, place[..., None].expand(-1, -1, short.shape[2]))


def token_entropies(logits: Tensor) -> Tensor:
    """How uncertain a model was about each token before it read it, in nats.

    Parameters
    ----------
    logits : tensor, shape (batch, n, vocab_size)
        What a decoder says, at each token, of the next.

    Returns
    -------
    tensor, shape (batch, n)
        Entry ``i`` is the entropy of the prediction made at token ``i - 1``. Nothing predicts the first
        token: it has the entropy of an even guess, the log of ``vocab_size``.

    Source: Pagnoni et al. 2024 (Byte Latent Transformer).
    """
    if not isinstance(logits, Tensor) or logits.ndim != 3 or not logits.is_floating_point():
        raise ValueError("logits must be a floating tensor of shape (batch, n, vocab_size)")
    logs = logits[:, :-1].log_softmax(dim=-1)
    entropies = torch.special.entr(logs.exp()).sum(dim=-1)
    first = entropies.new_full((len(logits), 1), math.log(logits.shape[-1]))
    return torch.cat([first, entropies], dim=1)


def patch_starts(entropies: Tensor, *, threshold: float) -> Tensor:
    """Begin a patch at every token that was harder to foresee than ``threshold``, and at the first.

    A patch is thus a token that surprised, or could have, and the easy ones after it. Whether a token begins
    one depends on the tokens before it only.

    Parameters
    ----------
    entropies : tensor, shape (batch, n), in nats
        As from `token_entropies`.
    threshold : float, in nats

    Returns
    -------
    boolean tensor, shape (batch, n)

    Raises
    ------
    ValueError
        If ``entropies`` is not such a tensor, or ``threshold`` is not finite.

    Examples
    --------
    >>> patch_starts(torch.tensor([[0.1, 0.2, 2.0, 0.3]]), threshold=1.0).tolist()
    [[True, False, True, False]]

    Source: Pagnoni et al. 2024 (Byte Latent Transformer), the global threshold.
    """
    _require_entropies(entropies)
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or not math.isfinite(threshold):
        raise ValueError(f"threshold must be a finite number; got {threshold!r}")
    starts = entropies > float(threshold)
    starts[:, 0] = True
    return starts


def entropy_threshold(entropies: Tensor, *, mean_length: float) -> float:
    """The threshold at which `patch_starts` cuts these texts into patches of ``mean_length`` on average.

    Found on some texts and then kept: chosen anew for each text, it would tell a token about later ones.

    Parameters
    ----------
    entropies : tensor, shape (batch, n), in nats
    mean_length : float
        Tokens a patch, from 1 to ``n``; met as closely as whole patches and equal entropies allow.

    Raises
    ------
    ValueError
        If ``entropies`` is not such a tensor, or ``mean_length`` is out of range.

    Examples
    --------
    >>> entropy_threshold(torch.tensor([[0.5, 0.25, 2.0, 1.0]]), mean_length=2)
    1.0
    """
    _require_entropies(entropies)
    batch, n = entropies.shape
    if isinstance(mean_length, bool) or not isinstance(mean_length, Real) or not 1 <= float(mean_length) <= n:
        raise ValueError(f"mean_length must be a number from 1 to n={n} tokens; got {mean_length!r}")
    others = entropies[:, 1:].flatten().sort(descending=True).values
    wanted = round(batch * n / float(mean_length)) - batch  # beside the first tokens, which begin one anyway
    # The largest entropy that begins no patch; where all begin one, a number below every entropy.
    return float(others[wanted]) if wanted < len(others) else -1.0


def require_starts(starts: Tensor, shape: tuple[int, int]) -> None:
    """Refuse what does not say of each token of each text whether a patch begins there."""
    if not isinstance(starts, Tensor) or starts.dtype != torch.bool:
        raise ValueError(
            f"starts must be a boolean tensor, True where a patch begins; "
            f"got {getattr(starts, 'dtype', type(starts))}"
        )
    if tuple(starts.shape) != shape:
        raise ValueError(f"starts must have shape {shape}; got {tuple(starts.shape)}")
    if not bool(starts[:, 0].all()):
        raise ValueError("starts must be True at the first token of each text; it has a row where it is not")


def _require_states(x: Tensor) -> None:
    if not isinstance(x, Tensor) or x.ndim != 3 or not x.is_floating_point():
        raise ValueError(
            f"states must be a floating tensor of shape (batch, n, d); got {getattr(x, 'shape', type(x))}"
        )


def _require_entropies(entropies: Tensor) -> None:
    if not isinstance(entropies, Tensor) or entropies.ndim != 2 or not entropies.is_floating_point():
        raise ValueError(
            f"entropies must be a floating tensor of shape (batch, n); "
            f"got {getattr(entropies, 'shape', type(entropies))}"
        )
    if not bool(entropies.isfinite().all()):
        raise ValueError("entropies must be finite; it holds NaN or infinity")
