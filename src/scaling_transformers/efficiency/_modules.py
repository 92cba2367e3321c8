"""Where the modules of a model's blocks stand."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from scaling_transformers.model import Transformer

Kind = TypeVar("Kind", bound=nn.Module)


def find(model: Transformer, kind: type[Kind]) -> list[tuple[nn.Module, str, Kind]]:
    """Modules of a kind in the blocks, each after its parent and its name there.

    What several blocks share comes once.
    """
    return [
        (parent, name, child)
        for parent in model.blocks.modules()
        for name, child in parent.named_children()
        if isinstance(child, kind)
    ]
