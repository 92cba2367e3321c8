"""Meshes: their axes multiply, and one that does not fit is refused by name."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import Mesh, all_meshes, fits, require_mesh
from scaling_transformers.accounting.mesh import AXES, stage_layers

CONFIG = TransformerConfig(
    4, 64, 4, 256, 32, n_kv_head=2, n_expert=4, n_expert_active=2, tie_embeddings=False
)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(1, 360))
def test_every_mesh_of_some_devices_is_there_once(n_device):
    meshes = all_meshes(n_device)
    assert np.all(meshes.n_device == n_device)
    rows = {tuple(getattr(meshes[i], axis) for axis in AXES) for i in range(len(meshes.data))}
    assert len(rows) == len(meshes.data)
    # As many as ways to give the factors of each prime to five axes.
    powers, rest, factor = [], n_device, 2
    while rest > 1:
        count = 0
        while rest % factor == 0:
            rest, count = rest // factor, count + 1
        powers.append(count)
        factor += 1
    assert len(rows) == math.prod(math.comb(power + 4, 4) for power in powers)


def test_chunks_are_tried_where_there_is_a_pipeline():
    meshes = all_meshes(4, axes=("data", "pipeline"), chunks=(1, 2))
    assert [str(meshes[i]) for i in range(len(meshes.data))] == [
        "pipeline 4",
        "data 2 x pipeline 2",
        "data 4",
        "pipeline 4 x chunks 2",
        "data 2 x pipeline 2 x chunks 2",
    ]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.sampled_from([1, 2, 4, 6, 12, 24]), st.sampled_from([8, 24, 48]), st.sampled_from([1, 2, 3, 4]))
def test_many_meshes_fit_where_each_alone_does(n_device, batch, accumulate):
    meshes = all_meshes(n_device, chunks=(1, 2))
    together = fits(CONFIG, meshes, batch=batch, accumulate=accumulate)
    for i, fit in enumerate(together):
        try:
            require_mesh(CONFIG, meshes[i], batch=batch, accumulate=accumulate, n_device=n_device)
        except ValueError:
            assert not fit
        else:
            assert fit


@pytest.mark.parametrize(
    ("mesh", "changes", "message"),
    [
        (Mesh(data=2), {}, r"must multiply to the 8 devices there are; got data 2 x shard 1 .* = 2"),
        (Mesh(tensor=8), {}, "tensor must divide n_head=4; got 8"),
        (Mesh(tensor=4, data=2), {}, "tensor must divide n_kv_head=2; got 4"),
        (Mesh(tensor=2, data=4), {"vocab_size": 257}, "tensor must divide vocab_size=257; got 2; pad"),
        (Mesh(tensor=2, data=4), {"d_ff": 129}, "tensor must divide d_ff=129; got 2"),
        (Mesh(expert=8), {}, "expert must divide n_expert=4; got 8"),
        (Mesh(pipeline=8), {}, "pipeline must have at most n_layer=4 stages; got 8"),
        (Mesh(pipeline=4, data=2, chunks=2), {}, r"got 8 \(pipeline 4 x chunks 2\)"),
        (Mesh(pipeline=2, data=4), {"tie_embeddings": True}, "pipeline needs tie_embeddings=False"),
        (Mesh(pipeline=4, data=2), {}, "accumulate must be at least pipeline=4, .*; got 3"),
        (Mesh(pipeline=2, chunks=2, data=4), {}, "accumulate must be a multiple of pipeline=2 .*; got 3"),
        (Mesh(expert=2, data=4), {"depth_keep": 0.5}, "cannot go with depth_keep"),
        (Mesh(data=8), {"balance": "bias"}, "balance='bias' sees one device's tokens only"),
    ],
)
def test_a_mesh_that_does_not_fit_is_refused_by_name(mesh, changes, message):
    with pytest.raises(ValueError, match=message):
        require_mesh(CONFIG.replace(**changes), mesh, batch=96, accumulate=3, n_device=8)


def test_a_batch_must_be_whole_on_every_device():
    with pytest.raises(ValueError, match=r"batch must be a multiple of 16, .* 8, each in 2 parts .*; got 24"):
        require_mesh(CONFIG, Mesh(data=2, shard=4), batch=24, accumulate=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mesh(data=0), "data must be a whole number of at least 1; got 0"),
        (lambda: Mesh(tensor=1.5), "tensor must be a whole number of at least 1; got 1.5"),
        (lambda: Mesh(chunks=2), "chunks needs a pipeline of at least 2 stages; got 2"),
        (lambda: all_meshes(0), "n_device must be a whole number of at least 1; got 0"),
        (lambda: all_meshes(4, axes=("rows",)), "axes must be some of"),
        (lambda: require_mesh(CONFIG, all_meshes(4), batch=4), "mesh must be one Mesh; got"),
        (lambda: require_mesh(CONFIG, Mesh(), batch=0), "batch must be a whole number of at least 1; got 0"),
        (lambda: stage_layers(4, 5), "n_stage must be from 1 to n_layer=4; got 5"),
    ],
)
def test_numbers_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_llama_on_its_published_mesh_fits():
    """Llama Team 2024, table 4: 8 x 16 x 128 devices."""
    mesh = Mesh(tensor=8, pipeline=16, shard=128)
    require_mesh(preset("llama-3-405b"), mesh, batch=2048, accumulate=16, n_device=16_384)


def test_stages_are_as_even_as_can_be():
    sizes = [len(stage) for stage in stage_layers(126, 16)]
    assert sum(sizes) == 126
    assert max(sizes) - min(sizes) == 1
