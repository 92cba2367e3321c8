"""Processes that fail, and runs that go on: nothing is lost, and the reader is told why."""

import importlib
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.parallelism import Mesh, ProcessFailed, train_on_mesh
from scaling_transformers.parallelism.checkpoint import load_weights
from scaling_transformers.parallelism.launch import _what_happened
from scaling_transformers.training import train

TEXT = np.random.default_rng(0).integers(0, 32, 4000).astype(np.uint8)
CONFIG = TransformerConfig(2, 32, 4, 32, 16, d_ff=64, tie_embeddings=False)
RUN = {"n_step": 20, "batch": 8, "n": 16, "learning_rate": 3e-3, "accumulate": 2}


@pytest.fixture
def on_purpose(monkeypatch):
    folder = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", folder)
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module("on_purpose")


@pytest.fixture(scope="module")
def alone():
    torch.manual_seed(0)
    model = Transformer(CONFIG)
    return model, train(model, TEXT, **RUN)


def test_a_killed_process_ends_the_others_and_the_run_goes_on_under_any_mesh(
    tmp_path, on_purpose, monkeypatch, alone
):
    note = tmp_path / "note"
    monkeypatch.setenv("NOTE_OF_DEATH", str(note))
    begun = tmp_path / "begun"
    options = {**RUN, "checkpoint_every": 5}
    with pytest.raises(
        ProcessFailed, match=r"process 1 of 4 was ended by signal 9; .* goes on from its last"
    ):
        train_on_mesh(
            CONFIG, Mesh(data=2, tensor=2), TEXT, checkpoint=begun, each_step=on_purpose.die, **options
        )
    assert time.time() - note.stat().st_mtime < 60
    assert [path.name for path in begun.glob("step-*")] == ["step-000010"]
    model, expected = alone
    meshes = [Mesh(shard=4), Mesh(tensor=2, pipeline=2)]
    for number in range(len(meshes)):
        shutil.copytree(begun, tmp_path / "four" / f"run-{number}")
    runs = train_on_mesh(CONFIG, meshes, TEXT, checkpoint=tmp_path / "four", **options)
    runs.append(train_on_mesh(CONFIG, Mesh(pipeline=2), TEXT, checkpoint=begun, **options))
    for run in runs:
        np.testing.assert_allclose(run.losses, expected, rtol=0, atol=1e-5, err_msg=str(run.mesh))
        assert len(run.seconds) == 10  # only what the checkpoint had not
    torch.manual_seed(1)
    whole = load_weights(Transformer(CONFIG), begun)
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(weight, model.state_dict()[name], rtol=0, atol=1e-4)


def test_a_killed_process_is_started_again_and_nothing_is_lost(tmp_path, on_purpose, monkeypatch, alone):
    monkeypatch.setenv("NOTE_OF_DEATH", str(tmp_path / "note"))
    run = train_on_mesh(
        CONFIG,
        Mesh(shard=2),
        TEXT,
        checkpoint=tmp_path / "run",
        checkpoint_every=5,
        each_step=on_purpose.die,
        restarts=1,
        **RUN,
    )
    assert (tmp_path / "note").exists()
    np.testing.assert_allclose(run.losses, alone[1], rtol=0, atol=1e-5)


def test_what_a_process_raised_is_told(on_purpose):
    with pytest.raises(ProcessFailed, match=r"process 1 of 2 ended with code 1; .* ArithmeticError: made to"):
        train_on_mesh(CONFIG, Mesh(data=2), TEXT, each_step=on_purpose.fail, **RUN)


def test_processes_that_take_too_long_are_ended(on_purpose):
    with pytest.raises(ProcessFailed, match="2 processes were not done after 15 s"):
        train_on_mesh(CONFIG, Mesh(data=2), TEXT, each_step=on_purpose.never_end, timeout_s=15, **RUN)


REPORT = """
Failures:
[0]:
  time      : 2026-01-01_00:00:02
  rank      : 1 (local_rank: 1)
  exitcode  : {code} (pid: 12)
  error_file: <N/A>
  traceback : {said}
------------------------------------------------------------
Root Cause (first observed failure):
[1]:
  time      : 2026-01-01_00:00:01
  rank      : 0 (local_rank: 0)
  exitcode  : {root} (pid: 11)
  error_file: /tmp/error.json
  traceback : Traceback (most recent call last):
    File "worker.py", line 1, in main
  RuntimeError: {raised}

============================================================
"""


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ({"code": -9, "said": "", "root": -15, "raised": "closed by peer"}, "1 of 2 was ended by signal 9"),
        ({"code": -15, "said": "", "root": 1, "raised": "no room"}, "0 of 2 ended with code 1.*no room"),
        (
            {"code": 1, "said": "\n  ValueError: x", "root": 1, "raised": "reset by peer"},
            "1 of 2.*ValueError: x",
        ),
        ({"code": -15, "said": "", "root": 1, "raised": "reset by peer"}, "0 of 2.*reset by peer"),
    ],
)
def test_the_process_that_is_named_is_the_one_that_brought_down_the_others(report, told):
    assert re.search(f"process {told}", _what_happened(REPORT.format(**report), n_process=2, restarts=0))


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        (Mesh(tensor=8), "tensor must divide n_head=4; got 8"),
        (Mesh(pipeline=4), "pipeline must have at most n_layer=2 stages; got 4"),
        (Mesh(data=3), "batch must be a multiple of 6"),
        (Mesh(expert=2), "expert must divide n_expert=1; got 2"),
        ([Mesh(data=2), Mesh(data=4)], r"meshes must all have as many devices; got \[2, 4\]"),
        ([], "meshes must hold at least one"),
    ],
)
def test_a_wrong_mesh_is_refused_before_any_process_starts(mesh, message, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)  # whoever started a process would fail
    with pytest.raises(ValueError, match=message):
        train_on_mesh(CONFIG, mesh, TEXT, **RUN)


def test_a_mesh_without_processes_is_refused():
    with pytest.raises(ValueError, match="mesh needs processes: start the script with torchrun"):
        train(Transformer(CONFIG), TEXT, mesh=Mesh(data=2), **RUN)


def test_the_product_of_a_mesh_must_be_the_number_of_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=r"must multiply to the 4 devices .* data 2 .* = 2"):
        train(Transformer(CONFIG), TEXT, mesh=Mesh(data=2), **RUN)
