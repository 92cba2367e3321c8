"""A model on many devices: how long a step takes, what for, and what each device holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from scaling_transformers.accounting import Mesh, cluster, fits, require_mesh, step_cost
from scaling_transformers.explorers.base import Control, Explorer
from scaling_transformers.presets import preset

MODELS = {"Llama 3 8B": "llama-3-8b", "Llama 2 70B": "llama-2-70b", "Llama 3.1 405B": "llama-3-405b"}
DEVICES = (64, 512, 4096)
TENSOR = (1, 2, 4, 8, 16)
PIPELINE = (1, 4, 16)
COPIES = ("copied", "sharded")
BATCHES = (256, 1024, 4096)
SEQ_LEN = 4096
CLUSTER = "DGX H100"
PARTS = ("compute", "communication", "bubble")
HELD = ("weights", "gradients", "optimizer", "activations", "gathered")


def _nothing(reason: str) -> dict[str, Any]:
    return {"seconds": [0, 0, 0], "gigabytes": [0] * len(HELD), "fits": False, "summary": reason}


def _mesh(
    model: str, n_device: float, tensor: float, pipeline: float, copies: str, batch: float
) -> dict[str, Any]:
    """Parts of a step's time, and bytes of a device, with the best number of micro-batches."""
    config, joined = preset(MODELS[model]), cluster(CLUSTER)
    n_device, tensor, pipeline, batch = int(n_device), int(tensor), int(pipeline), int(batch)
    rest, left_over = divmod(n_device, tensor * pipeline)
    if left_over or rest == 0:
        return _nothing(
            f"No such mesh: tensor {tensor} x pipeline {pipeline} does not divide {n_device:,} devices."
        )
    mesh = Mesh(**{"data" if copies == "copied" else "shard": rest}, tensor=tensor, pipeline=pipeline)
    try:
        require_mesh(config, mesh, batch=batch, accumulate=pipeline)  # with fewer, stages would stand idle
    except ValueError as reason:
        return _nothing(f"No such mesh ({mesh}): {reason}.")
    n_micro = 2 ** np.arange(batch.bit_length())
    n_micro = n_micro[fits(config, mesh, batch=batch, accumulate=n_micro)]
    # one mesh for each number of micro-batches, so that all are counted at once
    many = Mesh(np.full(n_micro.shape, mesh.data), shard=mesh.shard, tensor=tensor, pipeline=pipeline)
    cost = step_cost(config, many, batch=batch, seq_len=SEQ_LEN, accumulate=n_micro, cluster=joined)
    memory = cost.memory.total
    best = np.argmin(np.where(cost.fits_memory, cost.seconds, np.inf))
    if not cost.fits_memory.any():
        best = np.argmin(memory)
    parts = [float(np.broadcast_to(part, n_micro.shape)[best]) for part in (
        cost.compute, cost.exposed, cost.bubble
    )]  # fmt: skip
    held = [float(np.broadcast_to(getattr(cost.memory, name), n_micro.shape)[best]) / 1e9 for name in HELD]
    total, limit = sum(parts), joined.accelerator.memory_bytes / 1e9
    within = bool(cost.fits_memory[best])
    verdict = (
        f"A step takes {total:,.3g} s: {parts[0] / total:.0%} compute, {parts[1] / total:.0%} waiting for "
        f"the network, {parts[2] / total:.0%} bubble; {float(cost.mfu[best]):.0%} of the peak is put to use."
        if within
        else f"It would take {total:,.3g} s a step, but it cannot run."
    )
    return {
        "seconds": parts,
        "gigabytes": held,
        "fits": within,
        "summary": (
            f"{model} on {n_device:,} H100s as {mesh}, {batch:,} texts a step in {int(n_micro[best]):,} "
            f"micro-batches. {verdict} A device holds {sum(held):,.3g} GB: "
            f"{'fits' if within else 'does not fit'} into its {limit:.0f} GB."
        ),
    }


def mesh_explorer() -> Explorer:
    """Choose a model, devices, how they share it, and the batch; see where a step's time goes, and memory.

    The number of micro-batches is the power of two that is fastest of those that fit the memory.
    """
    return Explorer(
        title="A mesh must fit the memory, the box and the batch",
        controls=[
            Control("model", "Model", tuple(MODELS), initial="Llama 2 70B"),
            Control("n_device", "Devices", DEVICES, initial=512),
            Control("tensor", "Tensor", TENSOR, initial=4),
            Control("pipeline", "Pipeline", PIPELINE, initial=1),
            Control("copies", "The rest is", COPIES, initial="sharded"),
            Control("batch", "Texts a step", BATCHES, initial=1024),
        ],
        compute=_mesh,
        view="mesh",
        fixed={"limit": cluster(CLUSTER).accelerator.memory_bytes / 1e9, "parts": PARTS, "held": HELD},
    )
