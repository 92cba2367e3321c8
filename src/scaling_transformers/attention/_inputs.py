"""What every function of attention asks of its arrays, checked in one place."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat as api
import numpy as np

Array = Any  # a NumPy array or a torch tensor; the shapes stand in the docstrings


def namespace(**arrays: Any) -> Any:
    """The library that the arrays come from, NumPy or torch.

    Raises
    ------
    ValueError
        If an array is neither, or if the arrays come from different libraries.
    """
    for name, array in arrays.items():
        if not (api.is_numpy_array(array) or api.is_torch_array(array)):
            raise ValueError(
                f"{name} must be a NumPy array or a torch tensor; got {type(array).__module__}."
                f"{type(array).__qualname__}"
            )
    kinds = {name: api.is_torch_array(array) for name, array in arrays.items()}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{name} is {'torch' if torch else 'NumPy'}" for name, torch in kinds.items())
        raise ValueError(f"all arrays must come from one library; {listed}")
    return api.array_namespace(*arrays.values())


def require_floating(xp: Any, **arrays: Array) -> None:
    """Refuse arrays that are not floating point or that mix dtypes or devices."""
    for name, array in arrays.items():
        if not xp.isdtype(array.dtype, "real floating"):
            raise ValueError(f"{name} must be real floating point; got dtype {array.dtype}")
    for what in ("dtype", "device"):
        values = {name: getattr(array, what, None) for name, array in arrays.items()}
        if len(set(map(str, values.values()))) > 1:
            listed = ", ".join(f"{name} {value}" for name, value in values.items())
            raise ValueError(f"all arrays must have one {what}; got {listed}")


def require_finite(xp: Any, **arrays: Array) -> None:
    """Refuse NaN and infinity, naming the array."""
    for name, array in arrays.items():
        # A sum is finite only if every term is, and costs a tenth of looking at each; look only if it is not.
        with np.errstate(over="ignore", invalid="ignore"):
            total = xp.sum(array)
        if not bool(xp.isfinite(total)) and not bool(xp.all(xp.isfinite(array))):
            raise ValueError(f"{name} must be finite; it holds NaN or infinity")


def check_qkv(q: Array, k: Array, v: Array | None = None) -> Any:
    """Check the arguments of attention; return their library.

    ``q (..., n_head, n_q, d)``, ``k (..., n_kv_head, n_k, d)``, ``v (..., n_kv_head, n_k, d_v)``. Two axes
    are enough. The leading axes broadcast, except that ``n_head`` may also be a multiple of ``n_kv_head``.
    """
    arrays = {"q": q, "k": k} if v is None else {"q": q, "k": k, "v": v}
    xp = namespace(**arrays)
    require_floating(xp, **arrays)
    for name, array in arrays.items():
        if array.ndim < 2:
            raise ValueError(
                f"{name} must have at least 2 axes (tokens, width); got shape {tuple(array.shape)}"
            )
        if 0 in array.shape:
            raise ValueError(f"{name} must not be empty; got shape {tuple(array.shape)}")
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"q and k must have the same width; got q {tuple(q.shape)} and k {tuple(k.shape)}")
    if v is not None and v.shape[-2] != k.shape[-2]:
        raise ValueError(
            f"k and v must hold the same number of tokens; got k {tuple(k.shape)} and v {tuple(v.shape)}"
        )
    return xp


def group_heads(xp: Any, q: Array, *others: Array) -> list[Array]:
    """Repeat key and value heads so that each serves its group of query heads (grouped-query attention)."""
    grouped = []
    for name, array in zip(("k", "v"), others, strict=False):
        if q.ndim >= 3 and array.ndim >= 3 and array.shape[-3] not in (1, q.shape[-3]) and q.shape[-3] != 1:
            repeats, rest = divmod(q.shape[-3], array.shape[-3])
            if rest:
                raise ValueError(
                    f"the heads of {name} must divide the heads of q; got q {tuple(q.shape)} and "
                    f"{name} {tuple(array.shape)}"
                )
            array = xp.repeat(array, repeats, axis=-3)
        grouped.append(array)
    return grouped


def broadcast_lead(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common leading shape of q, k and v, all but their last two axes."""
    try:
        return np.broadcast_shapes(*(tuple(shape[:-2]) for shape in shapes))
    except ValueError:
        listed = ", ".join(str(tuple(shape)) for shape in shapes)
        raise ValueError(f"the leading axes of q, k and v must broadcast; got shapes {listed}") from None


def check_scale(scale: float | None, d: int) -> float:
    """The factor on the scores; ``1 / sqrt(d)`` unless given."""
    if scale is None:
        return 1.0 / math.sqrt(d)
    if not isinstance(scale, int | float | np.floating) or not math.isfinite(scale):
        raise ValueError(f"scale must be a finite number; got {scale!r}")
    return float(scale)


def check_mask(xp: Any, mask: Array | None, lead: tuple[int, ...], n_q: int, n_k: int) -> Array | None:
    """Check a mask against the shape of the scores, ``(*lead, n_q, n_k)``; pad it to at least two axes.

    A boolean mask is True where attention is allowed. A floating mask is added to the scores; minus infinity
    forbids, NaN and plus infinity are refused.
    """
    if mask is None:
        return None
    mask_xp = namespace(mask=mask)
    if (mask_xp is xp) is False:
        raise ValueError(f"mask must come from the same library as q; got {type(mask).__module__}")
    full = (*lead, n_q, n_k)
    try:
        fits = np.broadcast_shapes(tuple(mask.shape), full) == full
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"mask must broadcast to the scores' shape {full}; got shape {tuple(mask.shape)}")
    if xp.isdtype(mask.dtype, "real floating"):
        if bool(xp.any(xp.isnan(mask) | (mask == float("inf")))):
            raise ValueError("mask must be finite or minus infinity; it holds NaN or plus infinity")
    elif not xp.isdtype(mask.dtype, "bool"):
        raise ValueError(f"mask must be boolean (True = may attend) or floating; got dtype {mask.dtype}")
    while mask.ndim < 2:
        mask = mask[None]
    return mask
