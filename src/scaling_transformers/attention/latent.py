"""Latent attention: all heads read their keys and values off one small vector a token."""

from __future__ import annotations

import math
from typing import Any

from scaling_transformers.attention._inputs import Array, namespace, require_finite, require_floating
from scaling_transformers.attention.core import scaled_dot_product_attention
from scaling_transformers.attention.heads import merge_heads, split_heads
from scaling_transformers.attention.masks import require_count
from scaling_transformers.attention.positions import apply_rotary


def latent_attention(
    x: Array,
    *,
    w_q: Array,
    w_down: Array,
    w_up_k: Array,
    w_up_v: Array,
    w_o: Array,
    n_head: int,
    w_q_rotary: Array | None = None,
    w_k_rotary: Array | None = None,
    theta: float = 10_000.0,
    mask: Array | None = None,
    is_causal: bool = False,
    absorb: bool = False,
) -> Array:
    """Multi-head attention whose cache is one latent vector and one rotary key a token, for all heads.

    The latent is ``x @ w_down``. It can be read in two ways, equal up to rounding:

    - expanded: every head rebuilds its keys ``latent @ w_up_k`` and values ``latent @ w_up_v``;
    - absorbed: as ``q (latent w_up_k)^T = (q w_up_k^T) latent^T``, the queries go down into the latent space,
      all heads attend to the latent itself, one key and value head as in multi-query attention, and the means
      go up by ``w_up_v``. Nothing is rebuilt, which suits reading from a cache.

    A rotation by position would stand between ``w_up_k`` and the query and forbid the second way. Positions
    therefore have coordinates of their own: a rotary query for each head, one rotary key for all.

    Left out of the paper's layer: the norm on the latent, and the queries' own latent with its norm.

    Parameters
    ----------
    x : array, shape (..., n, d_model)
    w_q : array, shape (d_model, n_head * d_head)
    w_down : array, shape (d_model, d_latent)
    w_up_k : array, shape (d_latent, n_head * d_head)
    w_up_v : array, shape (d_latent, n_head * d_value)
    w_o : array, shape (n_head * d_value, d_model)
    w_q_rotary : array, shape (d_model, n_head * d_rotary), optional
    w_k_rotary : array, shape (d_model, d_rotary), optional
        Both or neither; ``d_rotary`` is even. Without them attention knows no positions.
    theta : float
        Base of the rotary frequencies.
    mask, is_causal
        As for `scaled_dot_product_attention`. Its scale is ``1 / sqrt(d_head + d_rotary)``.
    absorb : bool
        Which of the two ways.

    Returns
    -------
    array, shape (..., n, d_model)

    Raises
    ------
    ValueError
        On shapes that do not fit, mixed dtypes, devices or libraries, and on NaN or infinity.

    Source: DeepSeek-AI 2024 (DeepSeek-V2), section 2.1 and appendix C.
    """
    xp = _check_weights(x, w_q, w_down, w_up_k, w_up_v, w_o, n_head, w_q_rotary, w_k_rotary)
    latent = x @ w_down
    q = split_heads(x @ w_q, n_head=n_head)
    d_query = q.shape[-1]
    if absorb:
        q = q @ split_heads(w_up_k, n_head=n_head).mT  # (..., n_head, n, d_latent)
        k = v = latent[..., None, :, :]
    else:
        k, v = split_heads(latent @ w_up_k, n_head=n_head), split_heads(latent @ w_up_v, n_head=n_head)
    if w_q_rotary is not None:
        q_rotary = apply_rotary(split_heads(x @ w_q_rotary, n_head=n_head), theta=theta)
        k_rotary = apply_rotary(x @ w_k_rotary, theta=theta)[..., None, :, :]
        d_query += k_rotary.shape[-1]
        q = xp.concat([q, q_rotary], axis=-1)
        k = xp.concat([k, xp.broadcast_to(k_rotary, (*k.shape[:-1], k_rotary.shape[-1]))], axis=-1)
    heads = scaled_dot_product_attention(
        q, k, v, mask=mask, is_causal=is_causal, scale=1 / math.sqrt(d_query)
    )
    if absorb:
        heads = heads @ split_heads(w_up_v, n_head=n_head)  # (..., n_head, n, d_value)
    return merge_heads(heads) @ w_o


def _check_weights(
    x: Array,
    w_q: Array,
    w_down: Array,
    w_up_k: Array,
    w_up_v: Array,
    w_o: Array,
    n_head: int,
    w_q_rotary: Array | None,
    w_k_rotary: Array | None,
) -> Any:
    """Check the arguments of latent attention; return their library."""
    if (w_q_rotary is None) != (w_k_rotary is None):
        missing = "w_q_rotary" if w_q_rotary is None else "w_k_rotary"
        raise ValueError(f"w_q_rotary and w_k_rotary must be given together; {missing} is missing")
    arrays = {"x": x, "w_q": w_q, "w_down": w_down, "w_up_k": w_up_k, "w_up_v": w_up_v, "w_o": w_o}
    if w_q_rotary is not None:
        arrays |= {"w_q_rotary": w_q_rotary, "w_k_rotary": w_k_rotary}
    xp = namespace(**arrays)
    require_floating(**arrays)
    require_finite(**arrays)
    require_count(n_head=n_head)
    if x.ndim < 2:
        raise ValueError(f"x must have token and width axes; got shape {tuple(x.shape)}")
    for name, weight in arrays.items():
        if name != "x" and weight.ndim != 2:
            raise ValueError(f"{name} must have 2 axes; got shape {tuple(weight.shape)}")
    d_model, d_latent = x.shape[-1], w_down.shape[1]
    rows = {"w_q": d_model, "w_down": d_model, "w_up_k": d_latent, "w_up_v": d_latent, "w_o": w_up_v.shape[1]}
    columns = {"w_up_k": w_q.shape[1]}
    if w_k_rotary is not None:
        rows |= {"w_q_rotary": d_model, "w_k_rotary": d_model}
        columns["w_q_rotary"] = n_head * w_k_rotary.shape[1]
    for name, n_row in rows.items():
        n_column = columns.get(name, arrays[name].shape[1])
        if tuple(arrays[name].shape) != (n_row, n_column):
            wanted = n_column if name in columns else "any"
            raise ValueError(f"{name} must have shape ({n_row}, {wanted}); got {tuple(arrays[name].shape)}")
    for name in ("w_q", "w_up_v"):
        if arrays[name].shape[1] % n_head:
            raise ValueError(
                f"{name} must have a number of columns that n_head={n_head} divides; "
                f"got {arrays[name].shape[1]}"
            )
    return xp
