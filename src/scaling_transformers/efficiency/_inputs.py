"""What the counts and the modules of this package ask alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scaling_transformers.config import TransformerConfig

BITS = (2, 8)  # a sign and one step at least, a byte at most


def require_whole(value: int, *, least: int, most: int, name: str) -> int:
    """``value`` as an int, or a `ValueError` unless it is a whole number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}; got {value!r}")
    return int(value)


def require_bits(bits: int) -> int:
    """``bits`` as an int, or a `ValueError` unless a code can have as many."""
    return require_whole(bits, least=BITS[0], most=BITS[1], name="bits")


def require_group_size(group_size: int | None, *, n_in: int) -> int:
    """Columns that share a scale, all ``n_in`` by default, or a `ValueError` unless they divide ``n_in``."""
    if group_size is None:
        return n_in
    size = require_whole(group_size, least=1, most=n_in, name="group_size")
    if n_in % size:
        raise ValueError(f"group_size must divide the {n_in} columns of each matrix; got {size}")
    return size


def require_targets(targets: Sequence[str], *, among: Sequence[str]) -> tuple[str, ...]:
    """``targets`` as a tuple, or a `ValueError` unless each is there, and none twice."""
    names = (targets,) if isinstance(targets, str) else tuple(targets)
    if not names or len(set(names)) < len(names) or not set(names) <= set(among):
        raise ValueError(f"targets must be different names among {tuple(among)}; got {targets!r}")
    return names


def require_group(group: int, config: TransformerConfig) -> int:
    """``group`` as an int, or a `ValueError` unless it is a number of the model's layers, which differ."""
    if config.halting is not None:
        raise ValueError(
            f"layers can be shared once: with halting={config.halting!r} all are one block already"
        )
    return require_whole(group, least=1, most=config.n_layer, name="group")
