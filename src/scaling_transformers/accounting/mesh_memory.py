"""Bytes that each device of a mesh holds while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaling_transformers._numpy import np
from scaling_transformers.accounting._inputs import require_positive
from scaling_transformers.accounting._step import Step, make_step
from scaling_transformers.accounting.memory import kept_of_a_layer
from scaling_transformers.accounting.mesh import Mesh
from scaling_transformers.config import TransformerConfig


@dataclass(frozen=True)
class MeshMemory:
    """Bytes of the busiest device: floats of one mesh, arrays of many.

    Attributes
    ----------
    weights, gradients, optimizer : float
        Its part of each.
    activations : float
        What stands for the backward pass, of as many micro-batches as are under way at once.
    gathered : float
        Weights of its ``shard`` neighbours while they are in use, and gradients before they are scattered.
    """

    weights: Any
    gradients: Any
    optimizer: Any
    activations: Any
    gathered: Any

    @property
    def total(self) -> Any:
        """Sum of the five."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.gathered


def mesh_memory(
    config: TransformerConfig,
    mesh: Mesh,
    *,
    batch: Any,
    seq_len: Any,
    accumulate: Any = 1,
    bytes_per_element: float = 2,
    gradient_bytes: float | None = None,
    optimizer_bytes: float | None = None,
    checkpointing: str = "selective",
    sharding: str = "all",
    sequence_parallel: bool = False,
) -> MeshMemory:
    """Bytes of a training step on the device that holds most: weights, gradients, Adam's states, activations.

    As `training_memory` counts them, divided among the devices:

    - Weights, gradients and states by ``tensor``, ``pipeline`` and ``expert``, and by ``shard`` what
      ``sharding`` says. Norms, and biases behind a row-parallel product, are whole on each tensor-parallel
      device. The vocabulary is at the ends of the pipeline.
    - With ``sharding="all"`` two blocks are gathered at a time, the one at work and the next, besides what
      is outside the blocks, and the gradients of one block and of what is outside are not yet scattered.
      With a pipeline or ``accumulate`` above 1 all gradients add up before they are scattered; with a
      pipeline all weights of a device stay gathered.
    - Activations of the micro-batches under way: at most ``pipeline`` of them in the first stage, one less
      in each stage after (one forward, one backward in turn, 1F1B); interleaved chunks hold some more.
    - Logits: none, for `scaling_transformers.training.next_token_loss` takes a few tokens at a time and keeps
      a vector a token; with ``tensor`` above 1 each device's part of the vocabulary, in float32.

    The sum is the most that can be held at once; gradients come as activations go. Buffers of kernels, and
    what the allocator wastes, come on top.

    Parameters
    ----------
    mesh, batch, seq_len, accumulate, bytes_per_element, gradient_bytes, sharding, sequence_parallel
        As for `collective_bytes`.
    optimizer_bytes, checkpointing
        As for `training_memory`, but by default attention is a fused kernel (``"selective"``).

    Returns
    -------
    MeshMemory

    Raises
    ------
    ValueError
        If a mesh does not fit the config and the batch, or another argument is out of range.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> config = preset("llama-2-70b")
    >>> memory = mesh_memory(config, Mesh(shard=32, tensor=8), batch=256, seq_len=4096, accumulate=8)
    >>> f"{memory.optimizer / 1e9:.1f} GB of states, {memory.activations / 1e9:.1f} GB of activations"
    '3.2 GB of states, 32.6 GB of activations'

    Source: Rajbhandari et al. 2020 (ZeRO), section 5, for ``sharding``; Narayanan et al. 2021, section 2.2,
    for the micro-batches under way; Korthikanti et al. 2022, section 4, for tensor and sequence parallelism.
    """
    step = make_step(
        config,
        mesh,
        batch=batch,
        seq_len=seq_len,
        accumulate=accumulate,
        bytes_per_element=bytes_per_element,
        gradient_bytes=gradient_bytes,
        checkpointing=checkpointing,
        sharding=sharding,
        sequence_parallel=sequence_parallel,
    )
    return count_memory(step, optimizer_bytes=optimizer_bytes)


def count_memory(step: Step, *, optimizer_bytes: float | None) -> MeshMemory:
    """`mesh_memory` of a step."""
    element, gradient = step.element, step.gradient
    if optimizer_bytes is None:
        optimizer_bytes = 12 if element < 4 else 8
    state = 0.0 if optimizer_bytes == 0 else require_positive(optimizer_bytes, name="optimizer_bytes")
    parts, config = step.held, step.config
    block = parts.block + parts.experts
    whole = step.most(block, parts.first, parts.last)
    one_pass = (step.pipeline == 1) & (step.n_micro == 1)
    split = {
        "all": (step.shard, step.shard),
        "gradients": (1.0, step.shard),
        "optimizer": (1.0, 1.0),
    }
    of_weights, of_gradients = split[step.sharding]
    gathered: Any = 0.0
    if step.sharding == "all":
        ends = parts.first + parts.last
        in_use = np.where(step.pipeline > 1, whole, ends + np.minimum(2, step.n_block) * block)
        unscattered = np.where(one_pass, ends + block, whole)
        gathered = (element * in_use + gradient * unscattered) * (step.shard > 1)
    sequence = step.tensor if step.sequence_parallel else 1.0
    n_text = step.tokens / step.seq_len
    layer = n_text * kept_of_a_layer(
        config, step.seq_len, element=element, checkpointing=step.checkpointing,
        tensor=step.tensor, sequence=sequence,
    )  # fmt: skip
    # behind the blocks: the last norm's input and output, and the loss's gradient by the last states
    n_norm = int(config.norm_placement == "pre" or config.kind == "encoder")
    last = step.tokens * config.d_model * element * ((1 + n_norm) / sequence + 1)
    last = last + np.where(step.tensor > 1, step.tokens * 4 * config.vocab_size / step.tensor, 0.0)
    return MeshMemory(
        weights=step.result(element * whole / of_weights),
        gradients=step.result(gradient * whole / of_gradients),
        optimizer=step.result(state * whole / step.shard),
        activations=step.result(step.most(layer, 0.0, last, times=lambda place: under_way(step, place))),
        gathered=step.result(gathered),
    )


def under_way(step: Step, place: Any) -> Any:
    """Micro-batches whose activations a device of the pipeline holds at once, at most.

    Of interleaved chunks, each has its share of the device's blocks: hence a fraction.
    """
    behind = step.pipeline - 1 - place
    alone = np.minimum(behind + 1, step.n_micro)
    interleaved = 2 * behind + (step.chunks - 1) * step.pipeline + 1
    held_chunks = np.minimum(interleaved, step.n_micro * step.chunks) / step.chunks
    return np.where(step.chunks > 1, held_chunks, np.where(step.pipeline > 1, alone, 1.0))
