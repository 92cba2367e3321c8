"""What a plan promises: no mesh that was tried beats one that is shown."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import Mesh, all_meshes, cluster, fits, plan, step_cost
from scaling_transformers.accounting.planner import _undominated

SELENE = cluster("Selene")
CONFIG = TransformerConfig(8, 1024, 8, 4096, 512, tie_embeddings=False)
WORK = {"n_tokens": 1e9, "batch": 64, "seq_len": 512, "cluster": SELENE}


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=30))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_what_is_kept_of_points_is_what_none_of_them_beats(points):
    kept = {points[row] for row in _undominated(np.array(points, dtype=float))}
    assert kept == {point for point in points if not any(dominates(other, point) for other in points)}


def every_way(n_devices):
    """Time, memory and device hours of each mesh and number of micro-batches, one after the other."""
    found = {}
    for n_device in n_devices:
        meshes = all_meshes(n_device)
        for i, m in itertools.product(range(meshes.shape[0]), (1, 2, 4, 8, 16, 32, 64)):
            mesh = meshes[i]
            if fits(CONFIG, mesh, batch=64, accumulate=m):
                cost = step_cost(CONFIG, mesh, batch=64, seq_len=512, accumulate=m, cluster=SELENE)
                seconds = cost.seconds * 1e9 / (64 * 512)
                found[str(mesh), m] = (seconds, cost.memory.total, seconds / 3600 * n_device)
    return found


def test_the_plans_are_the_ones_that_no_mesh_beats():
    found, ways = plan(CONFIG, n_device=(4, 8), price=2.0, **WORK), every_way((4, 8))
    assert found.n_fit == len(ways)
    shown = {
        (each.seconds, each.memory_bytes, each.device_hours): each
        for each in found.plans
    }  # fmt: skip
    best = [point for point in ways.values() if not any(dominates(other, point) for other in ways.values())]
    assert np.allclose(sorted(shown), sorted(set(best)))
    for each in found.plans:
        assert each.cost == 2.0 * each.device_hours
        assert ways[str(each.mesh), each.accumulate] == pytest.approx(
            (each.seconds, each.memory_bytes, each.device_hours)
        )
    assert found.fastest.seconds == min(point[0] for point in ways.values())


def test_every_plan_fits_the_memory_and_says_what_step_cost_says():
    config = preset("llama-2-7b")
    options = {"batch": 256, "seq_len": 4096, "cluster": SELENE}
    found = plan(config, n_tokens=1e12, n_device=64, checkpointing="full", **options)
    assert 1 < len(found.plans) < found.n_fit < found.n_mesh
    for each in found.plans:
        assert each.memory_bytes <= SELENE.accelerator.memory_bytes
        cost = step_cost(config, each.mesh, accumulate=each.accumulate, checkpointing="full", **options)
        assert each.step_seconds == pytest.approx(cost.seconds)
        assert each.mfu == pytest.approx(cost.mfu)
        assert each.seconds == pytest.approx(each.step_seconds * 1e12 / (256 * 4096))


def test_axes_chunks_and_micro_batches_can_be_chosen():
    found = plan(CONFIG, n_device=8, axes=("shard", "tensor"), accumulate=[2], **WORK)
    assert all(each.mesh.data == each.mesh.pipeline == 1 and each.accumulate == 2 for each in found.plans)
    found = plan(CONFIG, n_device=4, axes=("pipeline",), chunks=(2,), accumulate=[4], **WORK)
    assert [each.mesh for each in found.plans] == [Mesh(pipeline=4, chunks=2)]


def test_without_a_mesh_that_fits_it_says_what_is_missing():
    with pytest.raises(ValueError, match=r"n_device must be such that a mesh fits: none of \d+"):
        plan(CONFIG, n_device=11, **WORK)
    with pytest.raises(ValueError, match=r"fits the 80 GB of a device; the least is \d+ GB, with 2"):
        plan(preset("llama-2-70b"), n_device=2, **WORK)
    for name in ("n_tokens", "price"):
        with pytest.raises(ValueError, match=f"{name} must be a positive finite number"):
            plan(CONFIG, n_device=2, **{**WORK, name: 0})
