"""The blocks that one device of a pipeline holds, as torch's pipelining wants them."""

from __future__ import annotations

from torch import Tensor, nn

from scaling_transformers.model import Transformer
from scaling_transformers.model.attention import Context, attention_mask


class Stage(nn.Module):
    """Consecutive blocks of a model: from tokens in the first stage, to the last hidden states in the last.

    Parameters
    ----------
    model : Transformer
        As `keep_layers` left it.
    layers : range
        The blocks.
    """

    def __init__(self, model: Transformer, layers: range) -> None:
        super().__init__()
        self.first, self.last = layers.start == 0, layers.stop == model.config.n_layer
        blocks = dict(model.blocks.named_children())
        self.blocks = nn.ModuleList(blocks[str(layer)] for layer in layers)
        names = (("embedding", "position_embedding", "embedding_norm") if self.first else ()) + (
            ("final_norm", "unembedding") if self.last else ()
        )
        self.ends = nn.ModuleDict({name: getattr(model, name) for name in names if hasattr(model, name)})
        self._model = (model,)  # in a tuple it is no part of this module

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (batch, n), or what the stage before hands on (batch, n, d_model), through the blocks."""
        (model,) = self._model
        if self.first:
            x = model.embed(x)
        allowed = attention_mask(model.config, x, n_k=x.shape[1], real=None, slopes=model.alibi_slopes)
        context = Context(mask=allowed, rotary=model.rotary(x))
        for block in self.blocks:
            x, _ = block(x, context)
        return model.final_norm(x) if self.last else x


def keep_layers(model: Transformer, layers: list[range]) -> None:
    """Drop from a model, in place, all blocks but these, and the ends that go with others.

    What is left has the names that it has in the whole model, so that a checkpoint of all is one of each.
    """
    held = {layer for stage in layers for layer in stage}
    blocks = {str(layer): block for layer, block in enumerate(model.blocks) if layer in held}
    model.blocks = nn.ModuleDict(blocks)  # type: ignore[assignment]
    if 0 not in held:
        model.embedding = nn.Identity()  # type: ignore[assignment]
        model.embedding_norm = nn.Identity()
        if hasattr(model, "position_embedding"):
            del model.position_embedding
    if model.config.n_layer - 1 not in held:
        model.final_norm = nn.Identity()
        model.unembedding = nn.Identity()  # type: ignore[assignment]
