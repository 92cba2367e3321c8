"""The runs that chapters read: from the settings of one to what was measured, and the shipped ones.

``python -m scaling_transformers.training.runs`` trains those that ``data/scaling`` and ``data/sparsity``
declare and lack, all of them where the results are deleted first, and writes a record of when and on what
they were made.
"""

from __future__ import annotations

import math
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from scaling_transformers.accounting import count_parameters, training_flops
from scaling_transformers.config import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.sparsity import Window
from scaling_transformers.training.corpora import Corpus, python_library
from scaling_transformers.training.language import SyntheticLanguage
from scaling_transformers.training.loop import measuring, sample_batch, train
from scaling_transformers.training.parameterisation import initialise_for_transfer
from scaling_transformers.training.record import read_record, shipped, write_record
from scaling_transformers.training.results import load_results
from scaling_transformers.training.sweeps import read_sweep, run_sweep

CORPORA = ("synthetic", "text")
SWEEPS = {"scaling": (*CORPORA, "rates"), "sparsity": CORPORA}
WAYS = ("dense", "window", "experts", "depths", "hourglass")
D_HEAD = 16
N_VALIDATION = 2048  # texts that every model is measured on


def language() -> SyntheticLanguage:
    """The synthetic language of the book's runs."""
    return _language()


def config_of(settings: Mapping[str, Any]) -> TransformerConfig:
    """The model of a run: RMSNorm, no biases, untied embeddings, heads of 16.

    Trees of the synthetic language begin at known places, so that its models have learned positions; those
    of text have rotary ones. `skipping` says what the ``way`` in the settings adds, if there is one.
    """
    synthetic = _require_corpus(settings["corpus"]) == "synthetic"
    d_model = int(settings["d_model"])
    return TransformerConfig(
        int(settings["n_layer"]),
        d_model,
        max(1, d_model // D_HEAD),
        vocab_size=language().vocab_size if synthetic else 256,
        n_ctx=int(settings["n_ctx"]),
        position="learned" if synthetic else "rotary",
        norm="rmsnorm",
        bias=False,
        tie_embeddings=False,
        **skipping(settings["way"], d_model=d_model) if "way" in settings else {},
    )


def skipping(way: str, *, d_model: int) -> dict[str, Any]:
    """Fields of the config of a model that skips work in one of the `WAYS`.

    ``"window"``: each token sees 32, by tiles. ``"experts"``: 2 of 8, each half as wide as the dense layer,
    so that a token costs the same but for the router. ``"depths"``: every second block reads a quarter of the
    tokens. ``"hourglass"``: the blocks in the middle read half as many positions.

    Raises
    ------
    ValueError
        If there is no such way.
    """
    if way not in WAYS:
        raise ValueError(f"way must be one of {WAYS}; got {way!r}")
    fields: dict[str, dict[str, Any]] = {
        "dense": {},
        "window": {"pattern": Window(32)},
        "experts": {"n_expert": 8, "n_expert_active": 2, "d_ff": 2 * d_model},
        "depths": {"depth_keep": 0.25},
        "hourglass": {"shorten": 2},
    }
    return fields[way]


def batch_for(n_tokens: float, *, n: int) -> int:
    """Texts of ``n`` tokens a step, for a run of ``n_tokens``: a power of two, at least 4.

    A batch holds near ``n_tokens ** 0.5 / 2`` tokens, so that batches and steps grow alike.
    """
    power: int = 2 ** max(2, round(math.log2(n_tokens**0.5 / 2 / n)))
    return power


def train_run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train one model for a budget of FLOPs and measure it on text it has not seen.

    Parameters
    ----------
    settings : mapping
        ``corpus``: one of `CORPORA`; ``budget``: FLOPs to spend, as `training_flops` counts them exactly, or
        in its place ``token_budget``: tokens to train on, both to the nearest number of whole batches;
        ``d_model``, ``n_layer``, ``n_ctx``; ``learning_rate``, of a matrix `BASE_WIDTH` wide; ``seed``, of
        weights and batches; ``way``, one of the `WAYS`, optional.

    Returns
    -------
    dict
        ``n_params``, ``n_params_non_embedding``, and of a run with a ``way`` ``n_params_active``;
        ``n_tokens`` trained on, ``n_unique_tokens`` of them at most different; ``flops``; ``batch`` and
        ``n_step``; ``loss`` and its standard error ``loss_error``, in nats per token; ``cpu_seconds``; when,
        and on what.

    Raises
    ------
    ValueError
        If a setting is outside what is said above.
    """
    config = config_of(settings)
    n = config.n_ctx
    given = {name: float(settings[name]) for name in ("budget", "token_budget") if name in settings}
    if len(given) != 1:
        raise ValueError(f"settings must have either budget or token_budget; got {sorted(given)}")
    for name, value in given.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be finite and above 0; got {value!r}")
    if "budget" in given:
        n_text = given["budget"] / training_flops(config, n_tokens=n, seq_len=n)
    else:
        n_text = given["token_budget"] / n
    batch = batch_for(n_text * n, n=n)
    n_step = max(1, round(n_text / batch))
    n_tokens = n_step * batch * n
    seed, started = int(settings["seed"]), datetime.now(UTC)
    start = time.process_time()
    source = language() if settings["corpus"] == "synthetic" else _text().train
    torch.manual_seed(seed)
    model = initialise_for_transfer(Transformer(config))
    train(
        model,
        source,
        n_step=n_step,
        batch=batch,
        n=n,
        learning_rate=float(settings["learning_rate"]),
        seed=seed,
        transfer=True,
    )
    loss, error = held_out_loss(model, str(settings["corpus"]))
    counts = count_parameters(config)
    unique = n_tokens if isinstance(source, SyntheticLanguage) else min(n_tokens, len(source))
    return {
        "n_params": counts.total,
        "n_params_non_embedding": counts.non_embedding,
        **({"n_params_active": counts.active} if "way" in settings else {}),
        "n_tokens": n_tokens,
        "n_unique_tokens": unique,
        "flops": training_flops(config, n_tokens=n_tokens, seq_len=n),
        "batch": batch,
        "n_step": n_step,
        "loss": loss,
        "loss_error": error,
        "cpu_seconds": time.process_time() - start,
        "started": started.isoformat(timespec="seconds"),
        "machine": f"{platform.machine()} CPU, one core",
        "torch": torch.__version__,
    }


def held_out_loss(model: Transformer, corpus: str) -> tuple[float, float]:
    """Mean loss on `N_VALIDATION` held-out texts, the same for every model, and its standard error.

    Of the synthetic language the optimal predictor's loss on the same texts is taken off and the entropy,
    which is its mean, put in its place: the chance of what those texts happened to be cancels.

    Returns
    -------
    loss, standard error : float, in nats per token
    """
    n = model.config.n_ctx
    if _require_corpus(corpus) == "synthetic":
        spoken = language()
        text = spoken.tokens(start=0, n=N_VALIDATION * n + spoken.tree_length, stream=1)
        tokens = torch.from_numpy(text[: N_VALIDATION * n + 1].astype(np.int64))
        x, y = tokens[:-1].view(-1, n), tokens[1:].view(-1, n)
        least = spoken.optimal_losses(text)[1 : N_VALIDATION * n + 1].reshape(-1, n).mean(axis=1)
        chance = least - spoken.entropy_rate
    else:
        generator = np.random.default_rng(0)
        x, y = sample_batch(_text().validation, batch=N_VALIDATION, n=n, generator=generator)
        chance = np.zeros(N_VALIDATION)
    with measuring(model):
        losses = [
            F.cross_entropy(model(rows).transpose(1, 2), targets, reduction="none").mean(dim=1)
            for rows, targets in zip(torch.split(x, 64), torch.split(y, 64), strict=True)
        ]
    each = torch.cat(losses).double().numpy() - chance
    return float(each.mean()), float(each.std(ddof=1) / len(each) ** 0.5)


def entropy_rate() -> float:
    """Of the synthetic language of the book's runs, exactly, in nats per token."""
    return language().entropy_rate


def recorded(name: str, *, chapter: str = "scaling") -> NDArray[Any]:
    """The runs that are shipped: of a corpus, or ``"rates"``, those that vary the learning rate.

    Parameters
    ----------
    name : str
        One of ``SWEEPS[chapter]``.
    chapter : str
        ``"scaling"``, the runs of the chapter on power laws, or ``"sparsity"``, those that skip work.

    Returns
    -------
    structured array, a row a run
        The settings and what `train_run` returns; ``key`` of the run and its ``seconds``.

    Raises
    ------
    ValueError
        If there is no such sweep.
    """
    if chapter not in SWEEPS:
        raise ValueError(f"chapter must be one of {tuple(SWEEPS)}; got {chapter!r}")
    if name not in SWEEPS[chapter]:
        raise ValueError(f"name must be one of {SWEEPS[chapter]}; got {name!r}")
    return load_results(str(shipped(chapter) / f"{name}.parquet"))


def record(chapter: str = "scaling") -> dict[str, Any]:
    """When, on what and with what the shipped runs of a chapter were made."""
    return read_record(shipped(chapter))


def make_all(folder: Path, *, workers: int = 2) -> None:
    """Train what the sweeps in a folder, named like its chapter, declare and lack; write the record."""
    for name in SWEEPS[folder.name]:
        run_sweep(
            read_sweep(folder / f"{name}.toml"),
            execute=train_run,
            path=folder / f"{name}.parquet",
            workers=workers,
        )
    _write_record(folder)


def _write_record(folder: Path) -> None:
    rows = np.concatenate(
        [
            load_results(folder / f"{name}.parquet")[["seconds", "cpu_seconds", "started"]]
            for name in SWEEPS[folder.name]
        ]
    )
    write_record(
        folder,
        command="python -m scaling_transformers.training.runs",
        corpus=_text(),
        language={field.name: getattr(language(), field.name) for field in fields(SyntheticLanguage)},
        entropy_rate=entropy_rate(),
        code=_code_version(),
        first_run=min(rows["started"].tolist()),
        last_run=max(rows["started"].tolist()),
        cpu_hours=round(float(rows["cpu_seconds"].sum()) / 3600, 2),
        energy="not measured: the machine has no counter that can be read",
    )


def _code_version() -> str:
    """The commit of the package's source, or its version where it does not lie in a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return version("scaling-transformers")


def _require_corpus(name: Any) -> str:
    if name not in CORPORA:
        raise ValueError(f"corpus must be one of {CORPORA}; got {name!r}")
    return str(name)


@cache
def _language() -> SyntheticLanguage:
    return SyntheticLanguage()


@cache
def _text() -> Corpus:
    return python_library()


if __name__ == "__main__":
    from scaling_transformers.training import runs  # by its name, which the workers know

    for chapter in runs.SWEEPS:
        runs.make_all(Path(str(shipped(chapter))))
