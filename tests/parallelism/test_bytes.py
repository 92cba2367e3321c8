"""What the processes of a mesh send each other and hold, beside what the accounting says before any start."""

from collections import defaultdict

import numpy as np
import pytest

from scaling_transformers import TransformerConfig
from scaling_transformers.accounting import collective_bytes, mesh_memory
from scaling_transformers.parallelism import Mesh, train_on_mesh

TEXT = np.random.default_rng(0).integers(0, 60, 4000).astype(np.uint8)
# Of 18 rows four devices cannot have as many each, so that what they gather is filled up.
DENSE = TransformerConfig(4, 64, 4, 60, 18, d_ff=128, tie_embeddings=False)
EXPERTS = DENSE.replace(n_expert=4, n_expert_active=2, n_expert_shared=1)
CASES = {  # a model, meshes of 4 processes, and the parts in which their texts follow each other
    "dense": (
        DENSE,
        [
            Mesh(data=4),
            Mesh(shard=4),
            Mesh(tensor=4),
            Mesh(pipeline=4),
            Mesh(data=2, shard=2),
            Mesh(data=2, tensor=2),
            Mesh(shard=2, tensor=2),
            Mesh(data=2, pipeline=2),
            Mesh(shard=2, pipeline=2),
            Mesh(tensor=2, pipeline=2),
            Mesh(data=2, pipeline=2, chunks=2),
        ],
        4,
    ),
    "experts": (
        EXPERTS,
        [
            Mesh(expert=4),
            Mesh(data=2, expert=2),
            Mesh(shard=2, expert=2),
            Mesh(tensor=2, expert=2),
            Mesh(pipeline=2, expert=2),
        ],
        2,
    ),
}


@pytest.fixture(scope="module", params=CASES)
def runs(request):
    config, meshes, accumulate = CASES[request.param]
    work = {"batch": 16, "accumulate": accumulate}
    options = {"n_step": 3, "n": 16, "learning_rate": 1e-3, "auxiliary_weight": 0.0}
    counted = {**work, "seq_len": 16, "bytes_per_element": 4}
    return config, counted, train_on_mesh(config, meshes, TEXT, **work, **options)


def recorded(run):
    """Bytes of the last step by axis, kind and size of the group, mean over the processes.

    In its second step DDP tells all processes in which order gradients came, and never again.
    """
    total = defaultdict(float)
    for steps in run.moved:
        for axis, kind, n_rank, n_byte in steps[-1]:
            if n_rank > 1 and kind != "receive":  # what one sends is what another receives
                total[axis, kind, n_rank] += n_byte / len(run.moved)
    return dict(total)


def predicted(found):
    total = defaultdict(float)
    for each in found.collectives:
        if each.payload:
            total[each.axis, each.kind, int(each.size)] += each.payload
    return dict(total)


def test_every_byte_that_moves_is_counted_before(runs):
    config, counted, all_runs = runs
    for run in all_runs:
        expected = predicted(collective_bytes(config, run.mesh, **counted))
        assert recorded(run) == pytest.approx(expected, rel=1e-12), str(run.mesh)


def test_every_process_holds_what_is_counted_before(runs):
    """Activations to a tenth: statistics of norms and of the softmax are not counted."""
    config, counted, all_runs = runs
    for run in all_runs:
        memory = mesh_memory(config, run.mesh, **counted)
        for part in ("weights", "gradients", "optimizer"):
            assert max(held[part] for held in run.held) == getattr(memory, part), (str(run.mesh), part)
        activations = [held["activations"] for held in run.held]
        if run.mesh.expert > 1 and run.mesh.pipeline > 1:
            continue  # which process serves more tokens depends on the routing, and stages differ as well
        most = np.mean(activations) if run.mesh.expert > 1 else max(activations)
        assert most == pytest.approx(memory.activations, rel=0.1), str(run.mesh)
