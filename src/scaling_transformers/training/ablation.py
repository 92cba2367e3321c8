"""What each step from GPT-2's design to Llama's is worth in a small model, at equal FLOPs.

``python -m scaling_transformers.training.ablation`` trains all designs at two learning rates and replaces
the files in ``data/ablation``: the runs, and a record of when and where they were made.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from scaling_transformers.accounting import count_parameters, forward_flops
from scaling_transformers.config import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.society.estimates import mean_and_interval, t_95
from scaling_transformers.training.corpora import Corpus, python_library
from scaling_transformers.training.loop import train, validation_loss
from scaling_transformers.training.record import as_table, read_record, read_runs, shipped, write_runs

CONFIG = TransformerConfig(2, 64, 4, vocab_size=256, n_ctx=64)
BASELINE, ALL = "GPT-2 style", "Llama style"
SEEDS, RATES = (0, 1, 2, 3), (2e-3, 4e-3)
BATCH, N_STEP, N_STEP_LONG, N_TEXT = 8, 200, 1200, 512
_DATA = shipped("ablation")


def at_equal_flops(config: TransformerConfig, *, like: TransformerConfig, seq_len: int) -> TransformerConfig:
    """``config`` with the ``d_ff`` that brings its forward pass nearest to the FLOPs of ``like``.

    Raises
    ------
    ValueError
        If even the narrowest feed-forward layer needs more FLOPs than ``like``.

    Examples
    --------
    A gate is a third matrix, so the layer becomes narrower by a third:

    >>> gpt2 = TransformerConfig(12, 768, 12, 50257, 1024)
    >>> at_equal_flops(gpt2.replace(activation="swiglu"), like=gpt2, seq_len=1024).d_ff
    2048
    """

    def flops(d_ff: int) -> int:
        return int(forward_flops(config.replace(d_ff=d_ff), batch=1, seq_len=seq_len).total)

    one_more = flops(2) - flops(1)
    target = int(forward_flops(like, batch=1, seq_len=seq_len).total)
    d_ff = round((target - flops(1)) / one_more) + 1
    if d_ff < 1:
        raise ValueError(f"like must leave FLOPs for a feed-forward layer; it has {target:,} in all")
    return config.replace(d_ff=d_ff)


def variants(config: TransformerConfig, *, seq_len: int) -> dict[str, TransformerConfig]:
    """Designs by name, each with the FLOPs of ``config``: one change each, then all of them together.

    ``config`` is the design of GPT-2: layer norms, biases, GELU, learned positions, a key head for each head.
    Half as many key heads, or one, and what that frees goes into a wider feed-forward layer. The last design
    has all changes at once, with half as many key heads, which is Llama's design.

    Raises
    ------
    ValueError
        If ``config`` has an odd number of heads, or no FLOPs to spare.
    """
    if config.n_head % 2:
        raise ValueError(f"n_head must be even, for half of it to be key heads; got {config.n_head}")
    changes: dict[str, dict[str, Any]] = {
        "RMSNorm": {"norm": "rmsnorm"},
        "no biases": {"bias": False, "qkv_bias": False},
        "SwiGLU": {"activation": "swiglu"},
        "rotary": {"position": "rotary"},
        "grouped heads": {"n_kv_head": config.n_head // 2},
    }
    together = {name: value for change in changes.values() for name, value in change.items()}
    changes = {**changes, "one key head": {"n_kv_head": 1}, ALL: together}
    return {BASELINE: config} | {
        name: at_equal_flops(config.replace(**change), like=config, seq_len=seq_len)
        for name, change in changes.items()
    }


class Run(NamedTuple):
    """One training run to be made: a design by name, a seed of weights and batches, and how to train."""

    variant: str  #: Name of the design.
    seed: int
    learning_rate: float  #: Largest rate of the schedule.
    n_step: int  #: Steps of training.


def run_all(runs: Iterable[Run], *, workers: int = 2) -> NDArray[Any]:
    """Train `variants` of `CONFIG` on `python_library` and measure each on held-out code.

    Each run has one thread to itself, so that its result does not depend on ``workers``. Runs of one seed see
    the same batches, and all are measured on the same texts. The workers are fresh processes: call this from
    a notebook, or in a script below ``if __name__ == "__main__":``.

    Returns
    -------
    structured array, a row a run
        The fields of `Run`; ``n_params``; ``flops`` of a pass over one text; ``loss`` in nats per byte.
    """
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return as_table(list(pool.map(_train_one, runs)))


def measure(*, n_step: int = N_STEP, seeds: Sequence[int] = SEEDS) -> NDArray[Any]:
    """`run_all` for every design and seed, at the lower of the `RATES`."""
    names = variants(CONFIG, seq_len=CONFIG.n_ctx)
    return run_all([Run(name, seed, RATES[0], n_step) for seed in seeds for name in names])


def differences(table: NDArray[Any]) -> dict[str, tuple[float, float]]:
    """Loss of each design less that of the baseline: mean over the seeds, and half its 95 % interval.

    All runs of the table should have one learning rate. The difference is taken seed by seed, so that what
    all designs share, batches and texts, cancels; the interval is Student's, over the seeds.

    Raises
    ------
    ValueError
        If a design lacks a seed of the baseline, or there are fewer than 2 or more than 11 seeds.
    """
    losses: dict[str, dict[int, float]] = {}
    for row in table:
        losses.setdefault(str(row["variant"]), {})[int(row["seed"])] = float(row["loss"])
    base = losses.pop(BASELINE)
    t_95(len(base))  # refuses a number of seeds that it does not know
    found = {}
    for name, by_seed in losses.items():
        if set(by_seed) != set(base):
            raise ValueError(f"table must hold the same seeds of {name!r} and of {BASELINE!r}")
        found[name] = mean_and_interval(np.array([by_seed[seed] - base[seed] for seed in base]))
    return found


def recorded() -> NDArray[Any]:
    """The runs that are shipped, as of `run_all`: each design at each of `RATES` with every seed."""
    return read_runs(_DATA)


def record() -> dict[str, Any]:
    """On what, when and where the shipped runs were made."""
    return read_record(_DATA)


@cache
def _corpus() -> Corpus:
    return python_library()


def _train_one(run: Run) -> dict[str, Any]:
    torch.set_num_threads(1)
    config = variants(CONFIG, seq_len=CONFIG.n_ctx)[run.variant]
    corpus, n = _corpus(), config.n_ctx
    torch.manual_seed(run.seed)
    model = Transformer(config)
    train(
        model,
        corpus.train,
        n_step=run.n_step,
        batch=BATCH,
        n=n,
        learning_rate=run.learning_rate,
        seed=run.seed,
    )
    return {
        **run._asdict(),
        "n_params": count_parameters(config).total,
        "flops": forward_flops(config, batch=1, seq_len=n).total,
        "loss": validation_loss(model, corpus.validation, n=n, n_text=N_TEXT),
    }


def make_all(folder: Path, *, n_step: int = N_STEP_LONG, seeds: Sequence[int] = SEEDS) -> None:
    """Train every design at every rate with every seed; write runs and record into a folder."""
    names = variants(CONFIG, seq_len=CONFIG.n_ctx)
    runs = [Run(name, seed, rate, n_step) for rate in RATES for seed in seeds for name in names]
    write_runs(
        folder,
        run_all(runs),
        command="python -m scaling_transformers.training.ablation",
        corpus=_corpus(),
        bytes_seen=n_step * BATCH * CONFIG.n_ctx,
    )


if __name__ == "__main__":
    make_all(Path(str(_DATA)))
