"""What the explorer of meshes promises: a frame for each, with the reason where there is no such mesh."""

import itertools
import json

import pytest

from scaling_transformers import preset
from scaling_transformers.accounting import Mesh, cluster, step_cost
from scaling_transformers.explorers import mesh_explorer
from scaling_transformers.explorers.mesh import BATCHES, COPIES, DEVICES, MODELS, PIPELINE, SEQ_LEN, TENSOR

SETTINGS = list(itertools.product(MODELS, DEVICES, TENSOR, PIPELINE, COPIES, BATCHES))
MEMORY = 80e9  # of an H100


@pytest.fixture(scope="module")
def made():
    return mesh_explorer()


@pytest.fixture(scope="module")
def frame_at(made):
    return dict(zip(SETTINGS, made.frames, strict=True))


def test_it_is_light_enough_for_a_page(made):
    assert len(made.frames) == len(SETTINGS)
    assert len(json.dumps(made.get_state(), default=str)) < 300_000


def test_no_number_of_micro_batches_that_fits_is_faster_than_the_one_shown(frame_at):
    frame = frame_at["Llama 2 70B", 512, 8, 4, "sharded", 1024]
    costs = [
        step_cost(
            preset("llama-2-70b"),
            Mesh(shard=16, tensor=8, pipeline=4),
            batch=1024,
            seq_len=SEQ_LEN,
            accumulate=n_micro,
            cluster=cluster("DGX H100"),
        )
        for n_micro in (4, 8, 16, 32, 64)
    ]
    fastest = min((cost for cost in costs if cost.memory.total <= MEMORY), key=lambda cost: cost.seconds)
    assert frame["seconds"] == pytest.approx([fastest.compute, fastest.exposed, fastest.bubble], rel=1e-3)
    assert sum(frame["gigabytes"]) == pytest.approx(fastest.memory.total / 1e9, rel=1e-3)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        (("Llama 3 8B", 64, 16, 16, "copied", 256), "does not divide 64 devices"),
        (("Llama 3 8B", 64, 16, 4, "copied", 256), "tensor must divide n_kv_head=8; got 16"),
        (("Llama 3 8B", 4096, 1, 1, "copied", 1024), "batch must be a multiple of 4096"),
    ],
)
def test_a_mesh_that_cannot_be_says_why(frame_at, setting, reason):
    frame = frame_at[setting]
    assert sum(frame["seconds"]) == 0
    assert not frame["fits"]
    assert reason in frame["summary"]


def test_the_verdict_is_that_of_the_memory(frame_at):
    possible = [frame for frame in frame_at.values() if sum(frame["seconds"])]
    assert {frame["fits"] for frame in possible} == {True, False}
    for frame in possible:
        assert frame["fits"] is (sum(frame["gigabytes"]) <= MEMORY / 1e9)
        assert (": fits into" in frame["summary"]) is frame["fits"]
        assert ("it cannot run" in frame["summary"]) is not frame["fits"]


def test_shards_hold_less_than_copies_and_one_stage_has_no_bubble(frame_at):
    for (model, n_device, tensor, pipeline, copies, batch), frame in frame_at.items():
        if not sum(frame["seconds"]):
            continue
        assert (frame["seconds"][2] == 0) is (pipeline == 1)
        if copies == "sharded" and n_device > tensor * pipeline:
            other = frame_at[model, n_device, tensor, pipeline, "copied", batch]
            assert sum(frame["gigabytes"][:3]) < sum(other["gigabytes"][:3])
