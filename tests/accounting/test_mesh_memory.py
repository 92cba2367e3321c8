"""What the memory of a mesh's devices promises: it adds up to the whole, and divides as the papers say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import (
    Mesh,
    all_meshes,
    count_parameters,
    fits,
    mesh_memory,
    training_memory,
)
from scaling_transformers.accounting._step import make_step
from scaling_transformers.accounting.mesh_memory import under_way

SMALL = TransformerConfig(8, 32, 4, 64, 16, tie_embeddings=False, bias=False, norm="rmsnorm")
EXPERTS = SMALL.replace(n_expert=4, n_expert_active=2)
PARTS = ("weights", "gradients", "optimizer", "activations", "gathered", "total")


def of(config, mesh, **options):
    return mesh_memory(config, mesh, **{"batch": 16, "seq_len": 16, "bytes_per_element": 4, **options})


def test_one_device_holds_what_training_memory_counts_but_the_logits():
    """In their place it keeps one vector a token, the loss's gradient by the last states."""
    for checkpointing in ("none", "selective", "full"):
        one = of(SMALL, Mesh(), checkpointing=checkpointing)
        whole = training_memory(SMALL, batch=16, seq_len=16, bytes_per_element=4, checkpointing=checkpointing)
        assert (one.weights, one.gradients, one.optimizer) == (
            whole.weights,
            whole.gradients,
            whole.optimizer,
        )
        logits, vector = 4 * 16 * 16 * SMALL.vocab_size, 4 * 16 * 16 * SMALL.d_model
        assert one.activations == whole.activations - logits + vector
        assert one.gathered == 0


@pytest.mark.parametrize("config", [SMALL, EXPERTS], ids=["dense", "experts"])
@pytest.mark.parametrize(
    "mesh", [Mesh(shard=4), Mesh(data=2, shard=2), Mesh(pipeline=2), Mesh(shard=2, pipeline=2)], ids=str
)
def test_devices_together_hold_all_weights_once_a_copy(config, mesh):
    """With 8 blocks, and ends as large as each other but for a norm, stages are alike."""
    busiest = of(config, mesh, accumulate=2).weights
    together = busiest * mesh.n_device / mesh.data
    spare = mesh.pipeline * 4 * (config.n_ctx + 1) * config.d_model if mesh.pipeline > 1 else 0
    assert 0 <= together - 4 * count_parameters(config).total <= spare


def test_tensor_parallel_devices_divide_all_but_norms_and_positions():
    parts = count_parameters(SMALL).by_part
    whole = parts["norms"] + parts["position_embedding"]
    split = count_parameters(SMALL).total - whole
    assert of(SMALL, Mesh(tensor=4)).weights == 4 * (whole + split / 4)


def test_devices_of_the_expert_axis_divide_the_experts_only():
    parts, total = count_parameters(EXPERTS).by_part, count_parameters(EXPERTS).total
    assert of(EXPERTS, Mesh(expert=4)).weights == 4 * (total - 3 / 4 * parts["feed_forward"])


@pytest.mark.parametrize(
    ("sharding", "bytes_a_parameter"),
    [("optimizer", 2 + 2 + 12 / 64), ("gradients", 2 + (2 + 12) / 64), ("all", (2 + 2 + 12) / 64)],
)
def test_the_stages_of_zero_keep_what_the_paper_says(sharding, bytes_a_parameter):
    """Rajbhandari et al. 2020 (ZeRO), figure 1: 31.4, 16.6 and 1.9 GB for 7.5 billion on 64 devices."""
    config = TransformerConfig(37, 4096, 32, 2048, 16, bias=False, norm="rmsnorm", position="none")
    n_params = count_parameters(config).total
    memory = mesh_memory(config, Mesh(shard=64), batch=64, seq_len=16, sharding=sharding)
    kept = memory.weights + memory.gradients + memory.optimizer
    assert kept == bytes_a_parameter * n_params
    published = {"optimizer": 31.4, "gradients": 16.6, "all": 1.9}[sharding]
    assert kept / n_params * 7.5e9 / 1e9 == pytest.approx(published, abs=0.05)


def test_a_sharded_device_gathers_two_blocks_and_the_ends():
    total, parts = count_parameters(SMALL).total, count_parameters(SMALL).by_part
    block = (parts["attention"] + parts["feed_forward"]) / 8 + 2 * SMALL.d_model
    ends = total - 8 * block
    one_pass = of(SMALL, Mesh(shard=4))
    assert one_pass.gathered == 4 * (ends + 2 * block) + 4 * (ends + block)
    several = of(SMALL, Mesh(shard=4), accumulate=2)
    assert several.gathered == 4 * (ends + 2 * block) + 4 * total
    assert of(SMALL, Mesh(shard=4), sharding="gradients").gathered == 0


@pytest.mark.parametrize("sequence_parallel", [False, True])
def test_a_layer_is_the_formula_of_the_paper(sequence_parallel):
    """Korthikanti et al. 2022, table 2, without dropout's masks: 8 + 24 / t, or 32 / t."""
    config = preset("gpt3-175b").replace(vocab_size=51200, n_layer=2)
    deeper = config.replace(n_layer=3)
    options = {"batch": 1, "seq_len": 2048, "sequence_parallel": sequence_parallel}
    s, a, h, t = 2048, 96, 12288, 8
    vectors = 32 / t if sequence_parallel else 8 + 24 / t
    for checkpointing, expected in (
        ("selective", s * h * vectors),
        ("none", s * h * vectors + 2 * a * s * s / t),
        ("full", 2 * s * h / (t if sequence_parallel else 1)),
    ):
        shallow, deep = (
            mesh_memory(c, Mesh(tensor=t), checkpointing=checkpointing, **options) for c in (config, deeper)
        )
        assert deep.activations - shallow.activations == expected


def under_way_by_schedule(pipeline, place, m):
    """Most forward passes of a device without their backward pass, in the order of 1F1B."""
    warm_up = min(pipeline - 1 - place, m)
    order = ["F"] * warm_up + ["F", "B"] * (m - warm_up) + ["B"] * warm_up
    return max(np.cumsum([1 if each == "F" else -1 for each in order]))


@given(pipeline=st.integers(2, 8), m=st.integers(1, 12))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_as_many_micro_batches_are_under_way_as_the_schedule_has(pipeline, m):
    config = SMALL.replace(n_layer=16)
    step = make_step(config, Mesh(pipeline=pipeline), batch=m, seq_len=16, accumulate=m, check=False)
    for place in range(pipeline):
        assert under_way(step, place) == under_way_by_schedule(pipeline, place, m)


def test_interleaving_holds_a_little_more():
    """Korthikanti et al. 2022, section 4.2.3: 1 + (p - 1) / (p m) times the layers, of m chunks."""
    config = SMALL.replace(n_layer=24)
    step = make_step(config, Mesh(pipeline=4, chunks=3), batch=16, seq_len=16, accumulate=16)
    assert under_way(step, 0) * 24 / 4 == pytest.approx(24 * (1 + 3 / (4 * 3)))


def test_only_with_tensor_parallelism_logits_are_held():
    wide = SMALL.replace(vocab_size=4096)
    assert of(wide, Mesh()).activations == of(SMALL, Mesh()).activations
    more = of(wide, Mesh(tensor=2)).activations - of(SMALL, Mesh(tensor=2)).activations
    assert more == 16 * 16 * 4 * (4096 - 64) / 2


@pytest.mark.parametrize("config", [SMALL, EXPERTS], ids=["dense", "experts"])
@pytest.mark.parametrize("sharding", ["all", "gradients", "optimizer"])
def test_many_meshes_at_once_are_as_one_by_one(config, sharding):
    meshes = all_meshes(8, chunks=(1, 2))
    meshes = meshes[fits(config, meshes, batch=16, accumulate=4)]
    options = {"accumulate": 4, "sharding": sharding, "sequence_parallel": True}
    many = of(config, meshes, **options)
    for i in range(meshes.shape[0]):
        one = of(config, meshes[i], **options)
        for part in PARTS:
            assert getattr(many, part)[i] == getattr(one, part), (str(meshes[i]), part)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer_bytes": -8}, "optimizer_bytes must be a positive finite number"),
        ({"checkpointing": "some"}, "checkpointing must be one of"),
        ({"sharding": None}, "sharding must be one of"),
        ({"sequence_parallel": "yes"}, "sequence_parallel must be True or False"),
        ({"batch": 3}, "batch must be a multiple of 2"),
    ],
)
def test_what_no_step_can_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        of(SMALL, Mesh(data=2), **changes)
    assert of(SMALL, Mesh(), optimizer_bytes=0).optimizer == 0
