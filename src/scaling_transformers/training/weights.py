"""The weights of small models as the package ships them: in half precision, and tied ones once."""

from __future__ import annotations

import io
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import torch

from scaling_transformers.model import Transformer


def save_weights(model: Transformer, path: Path) -> None:
    """Write the weights of a model whose embedding and unembedding are one matrix."""
    arrays = {name: value.numpy().astype(np.float16) for name, value in model.state_dict().items()}
    del arrays["unembedding.weight"]  # the same numbers as the embedding's
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load_weights(model: Transformer, source: Traversable) -> Transformer:
    """Put weights that `save_weights` wrote into a model of their config; it is ready for evaluation."""
    with np.load(io.BytesIO(source.read_bytes())) as arrays:
        state = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}
    state["unembedding.weight"] = state["embedding.weight"]
    model.load_state_dict(state)
    return model.eval()
