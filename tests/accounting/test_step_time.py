"""What the time of a step promises: sums done by hand, limits, and what hides behind what."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import (
    Mesh,
    Network,
    all_meshes,
    bubble_fraction,
    cluster,
    collective_bytes,
    collective_seconds,
    count_parameters,
    fits,
    forward_flops,
    least_batch,
    step_cost,
)

SELENE = cluster("Selene")
INSTANT = replace(  # no network, and a memory that is never waited for
    SELENE,
    within=Network("none", "", 1e30, 1e-30, ""),
    between=Network("none", "", 1e30, 1e-30, ""),
    accelerator=replace(SELENE.accelerator, bandwidth=1e30),
)
CONFIG = TransformerConfig(8, 1024, 8, 4096, 512, tie_embeddings=False)


def cost(mesh, *, config=CONFIG, **options):
    options = {"batch": 64, "seq_len": 512, "cluster": INSTANT, **options}
    return step_cost(config, mesh, **options)


def test_without_a_network_to_wait_for_it_is_flops_over_peak():
    flops = 3 * forward_flops(CONFIG, batch=64, seq_len=512).total
    for mesh in (Mesh(), Mesh(data=8), Mesh(shard=2, tensor=4)):
        found = cost(mesh, efficiency=0.5)
        assert found.seconds == pytest.approx(flops / mesh.n_device / (0.5 * 312e12))
        assert found.mfu == pytest.approx(0.5)
        assert found.bubble == 0
        assert found.exposed == pytest.approx(0, abs=1e-20)


def test_recomputation_adds_a_forward_pass_of_the_blocks():
    parts = forward_flops(CONFIG, batch=64, seq_len=512).by_part
    again = sum(parts.values()) - parts["unembedding"]
    more = cost(Mesh(), checkpointing="full", efficiency=1).seconds - cost(Mesh(), efficiency=1).seconds
    assert more == pytest.approx(again / 312e12)


def test_what_is_between_the_products_waits_for_the_memory():
    """Two norms, two sums and a GELU read and write 10 + 8 vectors forward, and twice that backward."""
    slow = replace(INSTANT, accelerator=SELENE.accelerator)
    more = cost(Mesh(), cluster=slow).seconds - cost(Mesh()).seconds
    n_byte = 3 * 8 * 64 * 512 * (10 + 8) * 1024 * 2
    assert more == pytest.approx(n_byte / SELENE.accelerator.bandwidth)
    unfused = cost(Mesh(), cluster=slow, checkpointing="none").seconds - cost(Mesh(), cluster=slow).seconds
    assert unfused == pytest.approx(3 * 8 * 64 * 512 * 2 * 8 * 512 * 2 / SELENE.accelerator.bandwidth)


@given(pipeline=st.integers(1, 8), chunks=st.integers(1, 4), rounds=st.integers(1, 8))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_the_bubble_is_that_of_a_simulated_schedule(pipeline, chunks, rounds):
    """A device passes on what it has computed; forward passes alone have the same bubble as both."""
    m, chunks = rounds * pipeline, chunks if pipeline > 1 else 1
    free, ready = np.zeros(pipeline), {}
    for first in range(0, m, pipeline):  # a group of micro-batches through all chunks, then the next group
        for chunk in range(chunks):
            for i in range(first, first + pipeline):
                for place in range(pipeline):
                    stage = chunk * pipeline + place
                    begin = max(free[place], ready.get((i, stage - 1), 0.0))
                    free[place] = ready[i, stage] = begin + 1
    fraction = 1 - m * chunks / max(free)
    assert bubble_fraction(Mesh(pipeline=pipeline, chunks=chunks), m) == pytest.approx(fraction)


def test_the_bubble_of_a_step_is_the_fraction():
    mesh = Mesh(pipeline=4)
    config = CONFIG.replace(vocab_size=1)  # stages alike
    found = cost(mesh, config=config, accumulate=8)
    assert found.bubble / found.seconds == pytest.approx(bubble_fraction(mesh, 8), rel=1e-3)
    assert isinstance(bubble_fraction(mesh, 8), float)
    assert bubble_fraction(mesh, np.array([1, 9])).tolist() == [0.75, 0.25]


def test_only_what_does_not_hide_adds_to_a_step():
    mesh = Mesh(shard=8)
    hidden, waited = (cost(mesh, cluster=SELENE, overlap=overlap) for overlap in (True, False))
    assert hidden.communication == waited.communication
    assert waited.exposed == pytest.approx(waited.communication["shard"] + waited.communication["step"])
    assert hidden.exposed < waited.exposed
    slow = cost(mesh, cluster=SELENE, batch=8)  # too little to hide behind
    assert 0 < slow.exposed < slow.communication["shard"] + slow.communication["step"]
    assert slow.seconds == slow.compute + slow.exposed + slow.bubble


def test_what_tensor_and_pipeline_send_is_waited_for():
    found = cost(Mesh(tensor=2, pipeline=2), cluster=SELENE, accumulate=4)
    waited = found.communication["tensor"] + found.communication["pipeline"] + found.communication["step"]
    assert found.exposed == pytest.approx(waited)


@pytest.mark.parametrize(
    "mesh", [Mesh(data=16), Mesh(shard=16), Mesh(data=2, shard=8), Mesh(shard=32, tensor=2)]
)
@pytest.mark.parametrize("checkpointing", ["selective", "full"])
def test_at_the_least_batch_all_that_data_and_shard_send_just_hides(mesh, checkpointing):
    options = {"cluster": SELENE, "checkpointing": checkpointing}
    least = least_batch(CONFIG, mesh, seq_len=512, **options)
    parts = mesh.n_batch

    def late(batch):
        found = cost(mesh, batch=batch, **options)
        others = sum(found.communication[axis] for axis in ("tensor", "step"))
        return found.exposed - others

    above = int(np.ceil(least / parts)) * parts
    assert late(above) == pytest.approx(0, abs=1e-9)
    if above > parts:
        assert late(above - parts) > 1e-9


@pytest.mark.parametrize("axis", ["data", "shard"])
def test_the_least_batch_is_the_closed_form_of_products_alone(axis):
    """Austin et al. 2025, part 5: tokens a device = peak / bandwidth, times (p - 1) / p of a ring of p."""
    config = TransformerConfig(4, 4096, 32, 1, 64, position="none", bias=False)
    ideal = replace(INSTANT, within=Network("ring", "", 50e9, 1e-30, ""), devices_a_node=64)
    texts = least_batch(config, Mesh(**{axis: 64}), seq_len=64, cluster=ideal, efficiency=1)
    assert texts * 64 / 64 == pytest.approx(63 / 64 * 312e12 / 50e9, rel=0.01)


def test_tensor_parallelism_has_no_least_batch_but_a_most_size():
    """It binds where t - 1 > n_params_of_block * bandwidth / (2 e d peak), whatever the batch."""
    config = TransformerConfig(4, 4096, 32, 4, 64, position="none", bias=False)
    ideal = replace(INSTANT, within=Network("ring", "", 50e9, 1e-30, ""), devices_a_node=64)
    limit = 1 + 12 * 4096**2 * 50e9 / (2 * 2 * 4096 * 312e12)
    for tensor in (2, 4):
        ratios = []
        for batch in (8, 64):
            found = step_cost(
                config, Mesh(tensor=tensor), batch=batch, seq_len=64, cluster=ideal, efficiency=1
            )
            ratios.append(found.communication["tensor"] / found.compute)
        assert ratios[0] == pytest.approx(ratios[1], rel=1e-6)
        # Three passes of arithmetic for two of communication, which is 9 / 8 with both ends of four blocks.
        assert ratios[0] * 3 / 2 * 8 / 9 == pytest.approx((tensor - 1) / (limit - 1), rel=0.01)
    assert least_batch(config, Mesh(tensor=2), seq_len=64, cluster=ideal) == 0


def test_many_meshes_at_once_are_as_one_by_one():
    config = CONFIG.replace(n_expert=4, n_expert_active=2)
    meshes = all_meshes(16, chunks=(1, 2))
    meshes = meshes[fits(config, meshes, batch=64, accumulate=4)]
    options = {"config": config, "accumulate": 4, "cluster": SELENE}
    many = cost(meshes, **options)
    for i in range(meshes.shape[0]):
        one = cost(meshes[i], **options)
        for name in ("compute", "exposed", "bubble", "seconds", "mfu", "fits_memory"):
            assert getattr(many, name)[i] == pytest.approx(getattr(one, name)), (str(meshes[i]), name)
        least = least_batch(config, meshes[i], seq_len=512, cluster=SELENE)
        assert least_batch(config, meshes, seq_len=512, cluster=SELENE)[i] == pytest.approx(least)


def test_the_seconds_of_each_axis_are_those_of_its_collectives():
    mesh = Mesh(data=4, tensor=8)
    found = cost(mesh, cluster=SELENE)
    moved = collective_bytes(CONFIG, mesh, batch=64, seq_len=512)
    assert found.communication == pytest.approx(collective_seconds(moved, mesh, SELENE))


def test_a_model_that_a_device_cannot_hold_is_said_not_to_fit():
    found = step_cost(preset("llama-2-70b"), Mesh(), batch=1, seq_len=64, cluster=SELENE)
    assert not found.fits_memory
    assert found.memory.weights == 2 * count_parameters(preset("llama-2-70b")).total
    assert cost(Mesh()).fits_memory


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cluster": "Selene"}, "cluster must be a Cluster"),
        ({"efficiency": 0}, "efficiency must be above 0 and at most 1"),
        ({"efficiency": 1.1}, "efficiency must be above 0 and at most 1"),
        ({"overlap": 0.5}, "overlap must be True or False"),
        ({"batch": 7}, "batch must be a multiple of 2"),
    ],
)
def test_what_no_step_can_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        cost(Mesh(data=2), **changes)
    with pytest.raises(ValueError, match="accumulate must be a whole number"):
        bubble_fraction(Mesh(pipeline=2), 0)
