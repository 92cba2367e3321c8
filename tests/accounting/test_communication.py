"""What the bytes between devices promise: sums done by hand, and by going through every device of a mesh."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import (
    Mesh,
    all_meshes,
    cluster,
    collective_bytes,
    collective_seconds,
    count_parameters,
    fits,
)
from scaling_transformers.accounting._step import make_step, matrices
from scaling_transformers.accounting.mesh import stage_layers

SMALL = TransformerConfig(4, 32, 4, 64, 16, tie_embeddings=False)
EXPERTS = SMALL.replace(n_expert=4, n_expert_active=2)
KINDS = [
    {},
    {"tie_embeddings": True},
    {"norm": "rmsnorm", "bias": False, "activation": "swiglu", "n_kv_head": 2, "position": "rotary"},
    {"n_expert": 4, "n_expert_active": 2, "n_expert_shared": 1},
    {"qkv_bias": False, "norm_placement": "post"},
    {"kind": "encoder", "n_token_type": 2, "pooler": True},
    {"kind": "encoder", "norm_placement": "post"},
    {"depth_keep": 0.5},
    {"halting": "ponder"},
]


def moved(config, mesh, **options):
    options = {"batch": 16, "seq_len": 16, "bytes_per_element": 4, **options}
    return collective_bytes(config, mesh, **options)


@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_the_matrices_are_all_parameters(changes):
    config = SMALL.replace(**changes)
    parts, n_block = matrices(config), 1 if config.halting else config.n_layer
    counts = [sum(m.n * m.rows * m.columns for m in group) for group in parts]
    assert n_block * (counts[0] + counts[1]) + counts[2] + counts[3] == count_parameters(config).total


def test_nothing_moves_on_one_device():
    everything = moved(EXPERTS, Mesh(), accumulate=4)
    assert everything.payload == everything.wire == everything.busiest_wire == 0
    assert all(each.calls == 0 for each in everything.collectives)


def test_data_parallel_devices_send_their_gradients_nearly_twice():
    n_params = count_parameters(SMALL).total
    data = moved(SMALL, Mesh(data=4), accumulate=2).select(axis="data")
    assert data.payload == 4 * n_params
    assert data.wire == 2 * 3 / 4 * 4 * n_params


def test_sharded_devices_gather_each_block_twice_a_micro_batch_and_scatter_once():
    n_params = count_parameters(SMALL).total
    parts = count_parameters(SMALL).by_part
    ends = parts["token_embedding"] + parts["position_embedding"] + parts["unembedding"] + 2 * SMALL.d_model
    shard = moved(SMALL, Mesh(shard=4), accumulate=2)
    assert shard.select(kind="all-gather").payload == 4 * 2 * (2 * (n_params - ends) + ends)
    assert shard.select(kind="reduce-scatter").payload == 4 * n_params
    assert shard.select(axis="data").payload == 0


def test_rows_that_three_devices_cannot_share_evenly_are_filled_up():
    """Of 32 rows each of 3 devices has 11, and of one of 64 rows 22."""
    config = TransformerConfig(1, 32, 4, 64, 16, bias=False, norm="rmsnorm", position="none")
    square, wide, tall, vector = 33 * 32, 129 * 32, 33 * 128, 33  # filled up
    n_element = 4 * square + wide + tall + 2 * vector + 66 * 32 + vector
    assert moved(config, Mesh(shard=3), batch=3).select(kind="reduce-scatter").payload == 4 * n_element


def test_hybrid_sharding_reduces_a_shard_among_the_copies():
    n_params = count_parameters(SMALL).total
    both = moved(SMALL, Mesh(data=2, shard=4))
    assert both.select(axis="data").payload == 4 * n_params / 4


def test_tensor_parallel_devices_reduce_activations_four_times_a_block():
    """And embeddings once, the gradient of the last states once, and three numbers a token."""
    n_token, states = 4 * 16, 4 * 16 * 32 * 4  # of a micro-batch; bytes of its states
    tensor = moved(SMALL, Mesh(data=2, tensor=2), accumulate=2).select(axis="tensor")
    assert tensor.payload == 2 * (4 * 4 * states + 2 * states + 3 * n_token * 4)
    recomputed = moved(SMALL, Mesh(data=2, tensor=2), accumulate=2, checkpointing="full").select(
        axis="tensor"
    )
    assert recomputed.payload - tensor.payload == 2 * 4 * 2 * states


def test_sequence_parallelism_sends_as_much_in_other_collectives():
    mesh = Mesh(tensor=4)
    plain, split = moved(SMALL, mesh), moved(SMALL, mesh, sequence_parallel=True)
    assert split.wire == pytest.approx(plain.wire)
    assert split.select(kind="all-gather").payload == split.select(kind="reduce-scatter").payload > 0


def test_tokens_go_to_their_experts_and_back_in_both_directions():
    n_token, m = 16 * 16 // 2 // 2, 2
    expert = moved(EXPERTS, Mesh(expert=2), accumulate=m).select(axis="expert")
    rows = n_token * 2 * 32 * 4
    assert expert.select(what="rows").payload == m * 4 * 4 * rows
    assert expert.select(what="counts").payload == m * 4 * 4 * 8
    parts = count_parameters(EXPERTS).by_part
    shared = moved(EXPERTS, Mesh(expert=2)).select(axis="data")
    assert shared.payload == 4 * (count_parameters(EXPERTS).total - parts["feed_forward"])
    both = moved(EXPERTS, Mesh(expert=2, data=2)).select(axis="data")
    assert both.select(what="gradients of experts").payload == 4 * parts["feed_forward"] / 2


def test_stages_send_activations_forward_and_gradients_back():
    states = 4 * 16 * 32 * 4
    pipeline = moved(SMALL, Mesh(pipeline=4), accumulate=4).select(axis="pipeline")
    assert pipeline.payload == 2 * 3 * 4 * states / 4  # three places to cross, four devices
    assert pipeline.busiest_wire == 2 * 4 * states  # a middle stage sends both
    chunks = moved(SMALL, Mesh(pipeline=2, chunks=2), accumulate=4).select(axis="pipeline")
    assert chunks.payload == 2 * 3 * 4 * states / 2
    assert chunks.busiest_wire == 3 * 4 * states


def test_a_pipeline_gathers_once_a_step():
    once = moved(SMALL, Mesh(shard=2, pipeline=2), accumulate=4).select(kind="all-gather")
    assert once.payload == 4 * count_parameters(SMALL).total / 2


@pytest.mark.parametrize("sharding", ["gradients", "optimizer"])
def test_split_states_move_as_much_as_whole_copies(sharding):
    """Rajbhandari et al. 2020 (ZeRO), section 7: a reduce-scatter and an all-gather are an all-reduce."""
    split = moved(SMALL, Mesh(shard=4), accumulate=2, sharding=sharding)
    whole = moved(SMALL, Mesh(data=4), accumulate=2)
    assert split.wire == whole.wire


def test_gradients_can_be_wider_than_weights():
    config, mesh = SMALL, Mesh(shard=4)
    narrow = moved(config, mesh, bytes_per_element=2)
    wide = moved(config, mesh, bytes_per_element=2, gradient_bytes=4)
    scatter = {"kind": "reduce-scatter"}
    assert wide.select(**scatter).payload == 2 * narrow.select(**scatter).payload
    assert wide.select(kind="all-gather").payload == narrow.select(kind="all-gather").payload


def brute_force(config, mesh, *, m, batch, n):
    """Elements of weights and activations by axis and device, from a walk along the pipeline."""
    parts = make_step(config, mesh, batch=batch, seq_len=n, accumulate=m).held
    stages = stage_layers(config.n_layer, mesh.n_stage)
    tokens = batch // mesh.n_batch // m * n
    found = []
    for place in range(mesh.pipeline):
        mine = stages[place :: mesh.pipeline]
        n_block = sum(len(stage) for stage in mine)
        first, last = mine[0].start == 0, mine[-1].stop == config.n_layer
        weights = n_block * (parts.block + parts.experts) + first * parts.first + last * parts.last
        tensor = n_block * 4 * tokens * config.d_model + (first + last) * tokens * config.d_model
        sent = 2 * len(mine) - first - last
        found.append((weights, m * tensor, m * sent * tokens * config.d_model))
    return np.array(found).T


@given(
    n_layer=st.integers(4, 13),
    pipeline=st.integers(1, 4),
    chunks=st.integers(1, 2),
    shard=st.integers(1, 3),
    tensor=st.sampled_from([1, 2]),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_the_mean_and_the_busiest_device_are_those_of_a_walk_along_the_pipeline(
    n_layer, pipeline, chunks, shard, tensor
):
    config = SMALL.replace(n_layer=max(n_layer, pipeline * chunks))
    mesh = Mesh(shard=shard, tensor=tensor, pipeline=pipeline, chunks=chunks if pipeline > 1 else 1)
    m, batch = 2 * pipeline, 12 * pipeline
    found = moved(config, mesh, batch=batch, accumulate=m, sharding="optimizer")
    weights, tensors, sent = brute_force(config, mesh, m=m, batch=batch, n=16)
    for chosen, elements, used in (
        (found.select(kind="reduce-scatter"), weights, shard > 1),
        (found.select(axis="pipeline"), sent, pipeline > 1),
    ):
        (each,) = chosen.collectives
        assert each.payload == pytest.approx(4 * elements.mean() * used)
        assert each.busiest == pytest.approx(4 * elements.max() * used)
    in_blocks, at_ends, _ = found.select(axis="tensor").collectives
    assert in_blocks.payload + at_ends.payload == pytest.approx(4 * tensors.mean() * (tensor > 1))


@pytest.mark.parametrize("config", [SMALL, EXPERTS], ids=["dense", "experts"])
def test_many_meshes_at_once_are_as_one_by_one(config):
    meshes = all_meshes(8, chunks=(1, 2))
    meshes = meshes[fits(config, meshes, batch=16, accumulate=4)]
    options = {"accumulate": 4, "checkpointing": "full"}
    many = moved(config, meshes, **options)
    seconds = collective_seconds(many, meshes, cluster("Selene"))
    assert meshes.shape[0] > 10
    for i in range(meshes.shape[0]):
        one = moved(config, meshes[i], **options)
        for of_many, of_one in zip(many.collectives, one.collectives, strict=True):
            assert isinstance(of_one.payload, float)
            for name in ("size", "calls", "payload", "busiest", "wire"):
                assert getattr(of_many, name)[i] == getattr(of_one, name), (str(meshes[i]), of_one)
        for axis, taken in collective_seconds(one, meshes[i], cluster("Selene")).items():
            assert np.broadcast_to(seconds[axis], meshes.shape)[i] == pytest.approx(taken)


def test_batches_and_micro_batches_may_be_arrays_on_one_mesh():
    found = moved(SMALL, Mesh(tensor=2), batch=np.array([[8], [16]]), accumulate=np.array([1, 2, 4]))
    assert found.wire.shape == (2, 3)
    assert found.wire[1, 2] == moved(SMALL, Mesh(tensor=2), batch=16, accumulate=4).wire


def test_a_ring_takes_its_steps_and_its_bytes():
    """Eight neighbours in a node of Selene: 300 GB/s, 3.4 microseconds a step."""
    found = moved(SMALL, Mesh(data=8)).select(axis="data")
    seconds = collective_seconds(found, Mesh(data=8), cluster("Selene"))["data"]
    n_params = count_parameters(SMALL).total
    calls = SMALL.n_layer + 1
    assert seconds == pytest.approx(calls * 2 * 7 * 3.4e-6 + 2 * 7 / 8 * 4 * n_params / 300e9)


@pytest.mark.parametrize(
    ("mesh", "bandwidth"),
    [
        (Mesh(data=8), 300e9),  # within a node
        (Mesh(data=16), 8 * 25e9),  # a ring leaves the node once, through its eight ports
        (Mesh(data=2, tensor=8), 25e9),  # no two of a group in a node: each through its own
        (Mesh(data=4, tensor=4), 2 * 25e9),
        (Mesh(data=6), 6 * 25e9),  # groups of six do not stay within nodes of eight
    ],
    ids=str,
)
def test_the_slowest_link_of_a_group_counts(mesh, bandwidth):
    config = SMALL.replace(n_head=8)
    found = moved(config, mesh, batch=96).select(axis="data")
    selene = cluster("Selene")
    (each,) = [each for each in found.collectives if each.size > 1]
    seconds = collective_seconds(found, mesh, selene)["data"]
    n_node = 1 if bandwidth == 300e9 else math.ceil(each.size * 25e9 / bandwidth)
    waited = 2 * each.calls * ((n_node - 1) * 14e-6 + (each.size - n_node) * 3.4e-6)
    assert seconds - waited == pytest.approx(each.wire / bandwidth)


def test_a_mesh_that_fits_nothing_is_refused_and_so_are_some_of_many():
    with pytest.raises(ValueError, match="tensor must divide n_head=4; got 3"):
        moved(SMALL, Mesh(tensor=3))
    with pytest.raises(ValueError, match=re.escape("mesh must fit the config and the batch; 1 of 2 do not")):
        moved(SMALL, Mesh(tensor=np.array([2, 3])))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 0}, "batch must be a whole number"),
        ({"accumulate": 1.5}, "accumulate must be a whole number"),
        ({"seq_len": 17}, "seq_len must be at most n_ctx=16; got 17"),
        ({"bytes_per_element": 0}, "bytes_per_element must be a positive finite number"),
        ({"gradient_bytes": -1}, "gradient_bytes must be a positive finite number"),
        ({"checkpointing": "some"}, "checkpointing must be one of"),
        ({"sharding": "weights"}, "sharding must be one of"),
        ({"sequence_parallel": 1}, "sequence_parallel must be True or False"),
        ({"config": "gpt2"}, "config must be a TransformerConfig"),
        ({"mesh": 8}, "mesh must be a Mesh"),
        ({"mesh": Mesh(data=np.array([1, 2])), "batch": np.array([2, 2, 2])}, "batch must broadcast"),
    ],
)
def test_what_no_step_can_be_is_refused(changes, message):
    given = {"config": SMALL, "mesh": Mesh(), "batch": 4, "seq_len": 8, **changes}
    with pytest.raises(ValueError, match=message):
        collective_bytes(given.pop("config"), given.pop("mesh"), **given)


def test_only_axes_and_kinds_that_there_are_can_be_selected():
    found = collective_bytes(preset("gpt2"), Mesh(data=2), batch=2, seq_len=8)
    with pytest.raises(ValueError, match="axis must be one of"):
        found.select(axis="world")
    with pytest.raises(ValueError, match="kind must be one of"):
        found.select(kind="broadcast")
    with pytest.raises(ValueError, match="cluster must be a Cluster"):
        collective_seconds(found, Mesh(data=2), "Selene")
