"""One block in several places of a model."""

from __future__ import annotations

from scaling_transformers.efficiency._inputs import require_group
from scaling_transformers.model import Transformer


def share_layers(model: Transformer, *, group: int) -> Transformer:
    """Let every run of ``group`` consecutive blocks be its first block, in place.

    The model holds `scaling_transformers.efficiency.shared_parameters`; it computes as much as before, and
    keeps as many keys and values, for each block still runs in its place. The weights of the other blocks are
    gone: share before training.

    Parameters
    ----------
    group : int
        From 1, which shares nothing, to ``n_layer``; the last run may be shorter.

    Returns
    -------
    Transformer
        The model itself.

    Raises
    ------
    ValueError
        If ``group`` is out of range, or every second block is routed, which is not like its neighbour.

    Source: Lan et al. 2020 (ALBERT), section 3.1.
    """
    group = require_group(group, model.config)
    if model.config.depth_keep < 1:
        raise ValueError(f"depth_keep must be 1 to share layers; got {model.config.depth_keep}")
    for layer in range(model.config.n_layer):
        model.blocks[layer] = model.blocks[layer - layer % group]
    return model
