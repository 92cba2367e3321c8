"""Several heads side by side: project, attend, join."""

from __future__ import annotations

from typing import Any

from scaling_transformers.attention._inputs import Array, namespace, require_finite, require_floating
from scaling_transformers.attention.core import scaled_dot_product_attention
from scaling_transformers.attention.masks import require_count


def split_heads(x: Array, *, n_head: int) -> Array:
    """Cut the width into heads: (..., n, n_head * d_head) becomes (..., n_head, n, d_head)."""
    xp = namespace(x=x)
    require_count(n_head=n_head)
    if x.ndim < 2 or x.shape[-1] % n_head:
        raise ValueError(
            f"x must have a width that n_head={n_head} divides, and a token axis; got shape {tuple(x.shape)}"
        )
    parts = xp.reshape(x, (*x.shape[:-1], n_head, x.shape[-1] // n_head))
    return xp.moveaxis(parts, (-2,), (-3,))  # torch's vmap takes it with tuples only


def merge_heads(x: Array) -> Array:
    """Undo `split_heads`: (..., n_head, n, d_head) becomes (..., n, n_head * d_head)."""
    xp = namespace(x=x)
    if x.ndim < 3:
        raise ValueError(f"x must have head, token and width axes; got shape {tuple(x.shape)}")
    parts = xp.moveaxis(x, (-3,), (-2,))
    return xp.reshape(parts, (*parts.shape[:-2], parts.shape[-2] * parts.shape[-1]))


def multi_head_attention(
    x: Array,
    *,
    w_q: Array,
    w_k: Array,
    w_v: Array,
    w_o: Array,
    n_head: int,
    n_kv_head: int | None = None,
    context: Array | None = None,
    **attention: Any,
) -> Array:
    """Project to queries, keys and values, attend in every head, join the heads and project back.

    Parameters
    ----------
    x : array, shape (..., n, d_model)
        The tokens that ask.
    w_q : array, shape (d_model, n_head * d_head)
    w_k, w_v : array, shape (d_model, n_kv_head * d_head)
    w_o : array, shape (n_head * d_head, d_model)
    n_head, n_kv_head : int
        Query heads and key heads; ``n_kv_head`` defaults to ``n_head``.
    context : array, shape (..., n_context, d_model), optional
        The tokens that answer (cross-attention); default ``x`` itself.
    **attention
        ``mask``, ``is_causal``, ``scale``, as for `scaled_dot_product_attention`.

    Returns
    -------
    array, shape (..., n, d_model)

    Source: Vaswani et al. 2017, section 3.2.2.
    """
    context = x if context is None else context
    arrays = {"x": x, "context": context, "w_q": w_q, "w_k": w_k, "w_v": w_v, "w_o": w_o}
    namespace(**arrays)
    require_floating(**arrays)
    require_finite(**arrays)
    for name, source, weight in (
        ("w_q", x, w_q),
        ("w_k", context, w_k),
        ("w_v", context, w_v),
    ):
        if weight.ndim != 2 or weight.shape[0] != source.shape[-1]:
            raise ValueError(
                f"{name} must have shape ({source.shape[-1]}, heads * d_head); got {tuple(weight.shape)}"
            )
    n_kv_head = n_head if n_kv_head is None else n_kv_head
    q = split_heads(x @ w_q, n_head=n_head)
    k = split_heads(context @ w_k, n_head=n_kv_head)
    v = split_heads(context @ w_v, n_head=n_kv_head)
    joined = merge_heads(scaled_dot_product_attention(q, k, v, **attention))
    if w_o.ndim != 2 or w_o.shape[0] != joined.shape[-1]:
        raise ValueError(f"w_o must have shape ({joined.shape[-1]}, d_model); got {tuple(w_o.shape)}")
    return joined @ w_o
