"""A run that is killed anywhere and started again ends as if nothing had happened, to the bit."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.training import sample_batch, train
from scaling_transformers.training.language import SyntheticLanguage

TEXT = np.random.default_rng(0).integers(0, 8, 400).astype(np.uint8)
LANGUAGE = SyntheticLanguage(vocab_size=8, n_rule=64)
N_STEP = 9
OPTIONS = {"n_step": N_STEP, "batch": 4, "n": 8, "learning_rate": 1e-2, "seed": 5, "checkpoint_every": 2}


class KilledError(Exception):
    """Stands for a kill: nothing in the loop may catch it."""


def make(seed=0, **changes):
    torch.manual_seed(seed)
    return Transformer(TransformerConfig(1, 16, 2, 8, 16).replace(**changes))


def assert_same(one, other):
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def killed_at(step, *, where):
    """Options of `train` that end the run in the middle of a step, or after it."""
    count = iter(range(10**6))

    def sampler(text, **options):
        if where == "before" and next(count) == step:
            raise KilledError
        return sample_batch(text, **options)

    def each_step(done, _):
        if where == "after" and done == step:
            raise KilledError

    sampler.__qualname__ = sample_batch.__qualname__
    return {"sampler": sampler, "each_step": each_step}


@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    step=st.integers(0, N_STEP - 1),
    every=st.integers(1, N_STEP + 1),
    where=st.sampled_from(["before", "after"]),
    text=st.sampled_from([TEXT, LANGUAGE]),
    options=st.sampled_from([{}, {"transfer": True, "schedule": "wsd"}, {"accumulate": 2}]),
)
def test_a_run_killed_at_any_step_goes_on_to_the_same_bits(step, every, where, text, options):
    changes = {"tie_embeddings": "transfer" not in options}
    options = {**OPTIONS, **options, "checkpoint_every": every}
    whole, resumed = make(**changes), make(**changes)
    expected = train(whole, text, **options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.pt"
        with pytest.raises(KilledError):
            train(make(**changes), text, checkpoint=path, **options, **killed_at(step, where=where))
        assert path.exists() == (step >= every)
        told = []
        losses = train(resumed, text, checkpoint=path, each_step=lambda i, _: told.append(i), **options)
    assert losses == expected
    assert_same(whole, resumed)
    assert told == list(range(step // every * every, N_STEP))  # only what the file had not


def test_a_process_killed_by_the_system_goes_on_to_the_same_bits(tmp_path):
    path = tmp_path / "run.pt"
    options = {**OPTIONS, "n_step": 20}
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[2])\n"
        "from test_checkpoint import *\n"
        "def told(step, loss):\n"
        "    print(step, flush=True)\n"
        "    time.sleep(60 if step == 12 else 0)\n"  # to be killed here, after twelve steps in the file
        "torch.set_num_threads(int(sys.argv[3]))\n"
        "train(make(), TEXT, checkpoint=sys.argv[1], each_step=told, **{**OPTIONS, 'n_step': 20})\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [
        sys.executable,
        "-c",
        script,
        str(path),
        str(Path(__file__).parent),
        str(torch.get_num_threads()),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            if int(line) == 12:
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(torch.load(path, weights_only=True)["losses"]) == 12
    whole, resumed = make(), make()
    assert train(resumed, TEXT, checkpoint=path, **options) == train(whole, TEXT, **options)
    assert_same(whole, resumed)


def test_a_kill_while_the_file_is_written_leaves_the_old_one(tmp_path, monkeypatch):
    path, whole, resumed = tmp_path / "run.pt", make(), make()
    expected = train(whole, TEXT, **OPTIONS)
    with pytest.raises(KilledError):
        train(make(), TEXT, checkpoint=path, **OPTIONS, **killed_at(2, where="after"))
    save = torch.save

    def half(state, file):
        save(state, file)
        file.truncate(file.tell() // 2)
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", half)
        with pytest.raises(KilledError):
            train(make(), TEXT, checkpoint=path, **OPTIONS)
    assert train(resumed, TEXT, checkpoint=path, **OPTIONS) == expected
    assert_same(whole, resumed)
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_a_run_that_has_ended_is_not_run_again(tmp_path):
    path, first, second = tmp_path / "run.pt", make(), make()
    losses = train(first, TEXT, checkpoint=path, **OPTIONS)

    def refuse(*_):
        raise AssertionError("a step was done again")

    assert train(second, TEXT, checkpoint=path, each_step=refuse, **OPTIONS) == losses
    assert_same(first, second)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_step": 10}, "n_step was 9 and is 10"),
        ({"batch": 2}, "batch was 4 and is 2"),
        ({"learning_rate": 2e-2}, "learning_rate was 0.01 and is 0.02"),
        ({"seed": 6}, "seed was 5 and is 6"),
        ({"schedule": "wsd"}, "schedule was 'cosine' and is 'wsd'"),
        ({"dtype": "bfloat16"}, "dtype was 'float32' and is 'bfloat16'"),
        ({"text": TEXT[1:]}, "text was '400 tokens of uint8, SHA-256 .*' and is '399 tokens"),
        ({"text": LANGUAGE}, "text was .* and is 'SyntheticLanguage"),
        ({"model": make(1)}, "first weights was "),
        ({"model": make(norm="rmsnorm")}, "config was "),
        ({"sampler": lambda text, **options: sample_batch(text, **options)}, "sampler was 'sample_batch'"),
    ],
)
def test_the_file_of_another_run_is_refused_and_kept(tmp_path, changes, message):
    path = tmp_path / "run.pt"
    train(make(), TEXT, checkpoint=path, **OPTIONS)
    before = path.read_bytes()
    call = {"model": make(), "text": TEXT, "checkpoint": path, **OPTIONS, **changes}
    with pytest.raises(ValueError, match=message):
        train(call.pop("model"), call.pop("text"), **call)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no checkpoint", "other"])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "run.pt"
    if content == "other":
        torch.save({"weights": torch.zeros(3)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="checkpoint must be a file that a training run wrote"):
        train(make(), TEXT, checkpoint=path, **OPTIONS)
