"""What every function of attention asks of its arrays, checked in one place."""

from __future__ import annotations

import math
import sys
from functools import cache
from numbers import Real
from typing import Any

import numpy as np
from array_api_compat import numpy as numpy_api

Array = Any  # a NumPy array or a torch tensor; the shapes stand in the docstrings
DTYPES = ("float16", "bfloat16", "float32", "float64")


_NAMESPACES: dict[type, Any] = {}  # found so far; functools.cache would do, but torch.compile warns of it


def _namespace_of(kind: type) -> Any:
    """The array API of a type of array; None for a type that is neither NumPy's nor torch's."""
    if kind in _NAMESPACES:
        return _NAMESPACES[kind]
    if issubclass(kind, (np.ndarray, np.generic)):  # a tuple, for torch.compile reads no unions
        _NAMESPACES[kind] = numpy_api
        return numpy_api
    torch = sys.modules.get("torch")  # whoever holds a tensor has imported torch
    if torch is None or not issubclass(kind, torch.Tensor):
        return None
    from array_api_compat import torch as torch_api

    _NAMESPACES[kind] = torch_api
    return torch_api


def namespace(**arrays: Any) -> Any:
    """The library that the arrays come from, NumPy or torch, as the array API standard has it.

    Raises
    ------
    ValueError
        If an array is neither, or if the arrays come from different libraries.
    """
    found = {name: _namespace_of(type(array)) for name, array in arrays.items()}
    libraries = set(found.values())
    if len(libraries) == 1 and None not in libraries:
        return libraries.pop()
    for name, library in found.items():
        if library is None:
            kind = type(arrays[name])
            raise ValueError(
                f"{name} must be a NumPy array or a torch tensor; got {kind.__module__}.{kind.__qualname__}"
            )
    listed = ", ".join(f"{name} is {'NumPy' if lib is numpy_api else 'torch'}" for name, lib in found.items())
    raise ValueError(f"all arrays must come from one library; {listed}")


@cache
def is_floating(dtype: Any) -> bool:
    """Whether a dtype is one of `DTYPES`."""
    return str(dtype).removeprefix("torch.") in DTYPES


def require_floating(**arrays: Array) -> None:
    """Refuse arrays that are not floating point or that mix dtypes or devices."""
    for name, array in arrays.items():
        if not is_floating(array.dtype):
            raise ValueError(f"{name} must be floating point, one of {DTYPES}; got dtype {array.dtype}")
    if len({(array.dtype, array.device) for array in arrays.values()}) > 1:
        listed = ", ".join(f"{name} {array.dtype} on {array.device}" for name, array in arrays.items())
        raise ValueError(f"all arrays must have one dtype and one device; got {listed}")


def require_finite(**arrays: Array) -> list[float]:
    """Refuse NaN and infinity, naming the array; return the largest magnitude in each."""
    magnitudes = []
    for name, array in arrays.items():
        if 0 in array.shape:
            raise ValueError(f"{name} must not be empty; got shape {tuple(array.shape)}")
        # Least and largest carry NaN through, and finding them makes no copy of the array.
        if isinstance(array, np.ndarray):
            least, largest = array.min(), array.max()
        else:
            least, largest = array.detach().aminmax()
        magnitude = max(float(largest), -float(least))
        if not magnitude < math.inf:
            raise ValueError(f"{name} must be finite; it holds NaN or infinity")
        magnitudes.append(magnitude)
    return magnitudes


def working_dtype(xp: Any, dtype: Any) -> Any:
    """float64 stays; narrower types are computed in float32, where their products cannot overflow."""
    return dtype if dtype == xp.float64 else xp.float32


def require_range(
    xp: Any, scale: float, q: Array, k: Array, v: Array | None = None, *, mask: Array | None = None
) -> None:
    """Refuse NaN, infinity, and numbers so large that a score or a sum of values could overflow."""
    limits = xp.finfo(working_dtype(xp, q.dtype))
    arrays = {"q": q, "k": k} if v is None else {"q": q, "k": k, "v": v}
    largest_q, largest_k, *largest_v = require_finite(**arrays)
    # No part of a score exceeds this, in whatever order the factors meet.
    score = q.shape[-1] * max(1.0, abs(scale)) * max(1.0, largest_q) * max(1.0, largest_k)
    # Beside a mask, less than the last digit of the largest number, so that no sum of the two overflows.
    limit = float(limits.max) / 4 * (1.0 if mask is None else float(limits.eps))
    if score > limit:
        raise ValueError(
            f"q, k and scale must give scores of at most {limit:.0e}; got magnitudes up to {largest_q:.2g} "
            f"in q and {largest_k:.2g} in k, with scale {scale:.2g} and width {q.shape[-1]}"
        )
    limit = float(limits.max) / k.shape[-2]
    if v is not None and largest_v[0] > limit:
        raise ValueError(
            f"v must hold magnitudes of at most {limit:.1e}, so that sums over its {k.shape[-2]} tokens do "
            f"not overflow; got {largest_v[0]:.2g}"
        )


def check_qkv(q: Array, k: Array, v: Array | None = None) -> Any:
    """Check the arguments of attention; return their library.

    ``q (..., n_head, n_q, d)``, ``k (..., n_kv_head, n_k, d)``, ``v (..., n_kv_head, n_k, d_v)``. Two axes
    are enough. The leading axes broadcast, except that ``n_head`` may also be a multiple of ``n_kv_head``.
    """
    arrays = {"q": q, "k": k} if v is None else {"q": q, "k": k, "v": v}
    xp = namespace(**arrays)
    require_floating(**arrays)
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


def group_heads(xp: Any, q: Array, k: Array, v: Array | None = None) -> list[Array]:
    """Repeat key and value heads so that each serves its group of query heads (grouped-query attention)."""
    others = {"k": k} if v is None else {"k": k, "v": v}
    if all(other.shape[:-2] == q.shape[:-2] for other in others.values()):
        return list(others.values())
    n_head, *n_others = (array.shape[-3] if array.ndim > 2 else 1 for array in (q, *others.values()))
    n_kv_head = max(n_others)
    agree = set(n_others) <= {1, n_kv_head}
    if agree and n_head in (1, n_kv_head):
        return list(others.values())
    if not agree or n_head % n_kv_head:
        what = "must divide the heads of q" if agree else "must be as many"
        listed = ", ".join(f"{name} {tuple(array.shape)}" for name, array in {"q": q, **others}.items())
        raise ValueError(f"the heads (axis -3) of {' and '.join(others)} {what}; got {listed}")
    return [
        array if n == 1 else xp.repeat(array, n_head // n_kv_head, axis=-3)
        for array, n in zip(others.values(), n_others, strict=True)
    ]


def broadcast_lead(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common leading shape of q, k and v, all but their last two axes."""
    leads = [tuple(shape[:-2]) for shape in shapes]
    if all(lead == leads[0] for lead in leads):
        return leads[0]
    try:
        return np.broadcast_shapes(*leads)
    except ValueError:
        listed = ", ".join(str(tuple(shape)) for shape in shapes)
        raise ValueError(f"the leading axes of q, k and v must broadcast; got shapes {listed}") from None


def check_scale(scale: float | None, d: int) -> float:
    """The factor on the scores; ``1 / sqrt(d)`` unless given."""
    if scale is None:
        return 1.0 / math.sqrt(d)
    if isinstance(scale, bool) or not isinstance(scale, Real) or not math.isfinite(scale):
        raise ValueError(f"scale must be a finite number; got {scale!r}")
    return float(scale)


def check_mask(
    xp: Any, mask: Array | None, lead: tuple[int, ...], n_q: int, n_k: int, dtype: Any
) -> Array | None:
    """Check a mask against the scores, ``(*lead, n_q, n_k)`` of ``dtype``; pad it to at least two axes.

    A boolean mask is True where attention is allowed. A floating mask is added to the scores; minus infinity
    forbids, and so does a number below the range of the scores. NaN and numbers above that range are refused.
    """
    if mask is None:
        return None
    if namespace(mask=mask) is not xp:
        raise ValueError(f"mask must come from the same library as q; got {type(mask).__module__}")
    full = (*lead, n_q, n_k)
    try:
        fits = np.broadcast_shapes(tuple(mask.shape), full) == full
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"mask must broadcast to the scores' shape {full}; got shape {tuple(mask.shape)}")
    if is_floating(mask.dtype):
        largest = float(xp.max(mask if isinstance(mask, np.ndarray) else mask.detach()))
        limit = float(xp.finfo(dtype).max)
        if not largest <= limit:  # so that NaN is refused too
            raise ValueError(
                f"mask must hold numbers of at most {limit:.2g}, or minus infinity; its largest is {largest}"
            )
    elif not xp.isdtype(mask.dtype, "bool"):
        raise ValueError(f"mask must be boolean (True = may attend) or floating; got dtype {mask.dtype}")
    while mask.ndim < 2:
        mask = mask[None]
    return mask
