"""However a model is split among processes, it learns what one process learns, to the rounding of float32."""

import numpy as np
import pytest
import torch

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.parallelism import Mesh, train_on_mesh
from scaling_transformers.training import train

TEXT = np.random.default_rng(0).integers(0, 32, 4000).astype(np.uint8)
LLAMA = TransformerConfig(
    4,
    32,
    4,
    32,
    16,
    n_kv_head=2,
    d_ff=64,
    position="rotary",
    norm="rmsnorm",
    activation="swiglu",
    tie_embeddings=False,
)
GPT = TransformerConfig(4, 32, 4, 32, 16)
ALIBI = LLAMA.replace(position="alibi", norm_placement="post", bias=False)
EXPERTS = LLAMA.replace(n_expert=4, n_expert_active=2, n_expert_shared=1)
RUN = {"n_step": 20, "batch": 16, "n": 16, "learning_rate": 3e-3}

CASES = {  # of each model, the meshes of 4 processes, the parts of a batch, and further options
    "llama": (
        LLAMA,
        [
            Mesh(data=4),
            Mesh(shard=4),
            Mesh(data=2, shard=2),
            Mesh(data=2, tensor=2),
            Mesh(shard=2, tensor=2),
            Mesh(pipeline=4),
            Mesh(data=2, pipeline=2),
            Mesh(shard=2, pipeline=2),
            Mesh(tensor=2, pipeline=2),
            Mesh(data=2, pipeline=2, chunks=2),
        ],
        {"accumulate": 4},
    ),
    "gpt, tied and with learned positions": (GPT, [Mesh(tensor=4), Mesh(shard=2, tensor=2)], {}),
    "alibi, norms after the sums": (ALIBI, [Mesh(data=2, tensor=2)], {"transfer": True, "schedule": "wsd"}),
    "experts": (
        EXPERTS,
        [
            Mesh(expert=4),
            Mesh(data=2, expert=2),
            Mesh(shard=2, expert=2),
            Mesh(tensor=2, expert=2),
            Mesh(data=4),
        ],
        {},
    ),
    "experts in stages": (EXPERTS, [Mesh(pipeline=2, expert=2)], {"accumulate": 2, "auxiliary_weight": 0.0}),
}


def alone(config, **options):
    torch.manual_seed(0)
    return train(Transformer(config), TEXT, **RUN, **options)


@pytest.mark.parametrize("name", CASES)
def test_losses_on_four_processes_are_those_of_one(name):
    config, meshes, options = CASES[name]
    accumulate = options.pop("accumulate", 1)
    runs = train_on_mesh(config, meshes, TEXT, accumulate=accumulate, **RUN, **options)
    assert [run.mesh for run in runs] == meshes
    for run in runs:
        # The term that balances experts is a mean over parts of a batch, so the parts must be the same.
        parts = accumulate * run.mesh.n_batch if config.n_expert > 1 else accumulate
        expected = alone(config, accumulate=parts, **options)
        assert expected[-1] < expected[0]
        np.testing.assert_allclose(run.losses, expected, rtol=0, atol=1e-5, err_msg=str(run.mesh))


def test_losses_on_two_processes_are_those_of_one():
    meshes = [Mesh(data=2), Mesh(shard=2), Mesh(tensor=2), Mesh(pipeline=2)]
    expected = alone(LLAMA, accumulate=2)
    for run in train_on_mesh(LLAMA, meshes, TEXT, accumulate=2, **RUN):
        np.testing.assert_allclose(run.losses, expected, rtol=0, atol=1e-5, err_msg=str(run.mesh))
