"""Transformers that save in five ways, trained at equal FLOPs, and asked to recall.

``python -m scaling_transformers.frontiers.cheap_runs`` trains what the files in ``data/cheap``
declare and their tables lack, all of it where the tables are deleted first, and writes a record of when and
on what it was made.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scaling_transformers.config import TransformerConfig
from scaling_transformers.frontiers.cheap_counts import require_way, training_flops_of
from scaling_transformers.frontiers.mixers import make_model
from scaling_transformers.frontiers.recall import PAIRS, VOCAB_SIZE, recall_accuracy, sample_recall
from scaling_transformers.frontiers.ternary import ROUNDINGS, round_after_training
from scaling_transformers.model import Transformer
from scaling_transformers.training.corpora import Corpus, python_library
from scaling_transformers.training.loop import Sampler, sample_batch, train
from scaling_transformers.training.record import read_record, shipped, write_record
from scaling_transformers.training.results import load_results
from scaling_transformers.training.runs import batch_for, config_of, held_out_loss
from scaling_transformers.training.sweeps import read_sweep, run_sweep

SWEEPS = ("rates", "text", "recall")
TASKS = ("text", "recall")
_DATA = shipped("cheap")
_COMMAND = "python -m scaling_transformers.frontiers.cheap_runs"


def model_config(settings: Mapping[str, Any]) -> TransformerConfig:
    """The model of a run: as `scaling_transformers.training.runs` has it for text.

    For recall it has that task's vocabulary, and learned positions: rotary ones would turn a key and a
    question apart by the distance between them.

    Raises
    ------
    ValueError
        If the ``task`` is none of `TASKS`.
    """
    if settings["task"] not in TASKS:
        raise ValueError(f"task must be one of {TASKS}; got {settings['task']!r}")
    plain = {name: settings[name] for name in ("d_model", "n_layer", "n_ctx")}
    config = config_of({"corpus": "text", **plain})
    return config if settings["task"] == "text" else config.replace(vocab_size=VOCAB_SIZE, position="learned")


def train_run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train one model and measure it.

    Parameters
    ----------
    settings : mapping
        ``task``: one of `TASKS`; ``way``: one of `WAYS`; ``d_model``, ``n_layer``, ``n_ctx``;
        ``learning_rate``, ``seed``. Of text ``budget``: FLOPs to spend, as `training_flops_of` counts them,
        to the nearest number of whole batches. Of recall ``n_step`` and ``batch``.

    Returns
    -------
    dict
        ``n_params``, ``n_tokens``, ``flops``, ``n_step``, ``cpu_seconds``, when and on what. Of text ``loss``
        and its standard error ``loss_error``, in nats per token, and for dense models ``loss_ternary`` and
        ``loss_int4``, after the trained weights were rounded. Of recall ``recall_4`` and so on: the share of
        keys whose value is found, with so many pairs in the text.
    """
    way = str(settings["way"])
    require_way(way)
    config = model_config(settings)
    started, start = datetime.now(UTC), time.process_time()
    torch.manual_seed(int(settings["seed"]))
    model = make_model(config, way)
    n_params = sum(parameter.numel() for parameter in model.parameters())
    done = _on_text(model, settings) if settings["task"] == "text" else _on_recall(model, settings)
    return {
        "n_params": n_params,
        **done,
        "cpu_seconds": time.process_time() - start,
        "started": started.isoformat(timespec="seconds"),
        "machine": f"{platform.machine()} CPU, one core",
        "torch": torch.__version__,
    }


def _on_text(model: Transformer, settings: Mapping[str, Any]) -> dict[str, Any]:
    way, n, budget = str(settings["way"]), model.config.n_ctx, float(settings["budget"])
    if not (math.isfinite(budget) and budget > 0):
        raise ValueError(f"budget must be finite and above 0; got {budget!r}")
    n_text = budget / training_flops_of(model.config, way, n_tokens=n, n=n)
    batch = batch_for(n_text * n, n=n)
    n_step = max(1, round(n_text / batch))
    _train(model, settings, _text().train, n_step=n_step, batch=batch)
    loss, error = held_out_loss(model, "text")
    found = {"loss": loss, "loss_error": error}
    if way == "dense":
        trained = {name: value.clone() for name, value in model.state_dict().items()}
        for rounding in ROUNDINGS:
            round_after_training(model, rounding=rounding)
            found[f"loss_{rounding}"] = held_out_loss(model, "text")[0]
            model.load_state_dict(trained)
    n_tokens = n_step * batch * n
    return {
        "n_tokens": n_tokens,
        "flops": training_flops_of(model.config, way, n_tokens=n_tokens, n=n),
        "n_step": n_step,
        **found,
    }


def _on_recall(model: Transformer, settings: Mapping[str, Any]) -> dict[str, Any]:
    n_step, batch, n = int(settings["n_step"]), int(settings["batch"]), model.config.n_ctx
    losses = _train(
        model, settings, np.zeros(n + 1, np.uint8), n_step=n_step, batch=batch, sampler=sample_recall
    )
    return {
        "n_step": n_step,
        "loss": float(np.mean(losses[-100:])),
        **{f"recall_{n_pair}": recall_accuracy(model, n_pair=n_pair) for n_pair in PAIRS if 2 * n_pair <= n},
    }


def _train(
    model: Transformer,
    settings: Mapping[str, Any],
    text: NDArray[np.uint8],
    *,
    n_step: int,
    batch: int,
    sampler: Sampler = sample_batch,
) -> list[float]:
    return train(
        model,
        text,
        n_step=n_step,
        batch=batch,
        n=model.config.n_ctx,
        learning_rate=float(settings["learning_rate"]),
        seed=int(settings["seed"]),
        transfer=True,
        sampler=sampler,
    )


def recorded(name: str) -> NDArray[Any]:
    """The runs that are shipped: one of `SWEEPS`, a row a run with its settings and what was measured.

    Raises
    ------
    ValueError
        If there is no such sweep.
    """
    if name not in SWEEPS:
        raise ValueError(f"name must be one of {SWEEPS}; got {name!r}")
    return load_results(str(_DATA / f"{name}.parquet"))


def record() -> dict[str, Any]:
    """On what, when and where the shipped runs were made."""
    return read_record(_DATA)


def make_all(folder: Path, *, workers: int = 2) -> None:
    """Train what the files in a folder declare and lack, and write the record."""
    tables = [
        run_sweep(
            read_sweep(folder / f"{name}.toml"),
            execute=train_run,
            path=folder / f"{name}.parquet",
            workers=workers,
        )
        for name in SWEEPS
    ]
    seconds = sum(float(table["cpu_seconds"].sum()) for table in tables)
    starts = [when for table in tables for when in table["started"].tolist()]
    write_record(
        folder,
        command=_COMMAND,
        corpus=_text(),
        first_run=min(starts),
        last_run=max(starts),
        cpu_minutes=round(seconds / 60, 1),
        n_runs=len(starts),
        energy="not measured: the joules of the chapter are counted operations times published energies",
    )


@cache
def _text() -> Corpus:
    return python_library()


if __name__ == "__main__":
    from scaling_transformers.frontiers import cheap_runs  # by its name, which the workers know

    cheap_runs.make_all(Path(str(_DATA)))
