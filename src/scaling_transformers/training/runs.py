"""One run of a scaling sweep: from its settings to a row of what was measured."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from scaling_transformers.accounting import count_parameters, training_flops
from scaling_transformers.config import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.training.corpora import Corpus, python_library
from scaling_transformers.training.language import SyntheticLanguage
from scaling_transformers.training.loop import sample_batch, train
from scaling_transformers.training.parameterisation import initialise_for_transfer

CORPORA = ("synthetic", "text")
D_HEAD = 16
N_VALIDATION = 2048  # texts that every model is measured on


def language() -> SyntheticLanguage:
    """The synthetic language of the book's runs."""
    return _language()


def config_of(settings: Mapping[str, Any]) -> TransformerConfig:
    """The model of a run: RMSNorm, no biases, untied embeddings, heads of 16.

    Trees of the synthetic language begin at known places, so that its models have learned positions; those of
    text have rotary ones.
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
    )


def batch_for(n_tokens: float, *, n: int) -> int:
    """Texts of ``n`` tokens a step, for a run of ``n_tokens``: a power of two, at least 4.

    A batch holds near ``n_tokens ** 0.5 / 2`` tokens, so that batches and steps grow alike.
    """
    return max(4, int(2 ** round(math.log2(n_tokens**0.5 / 2 / n))))


def train_run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train one model for a budget of FLOPs and measure it on text it has not seen.

    Parameters
    ----------
    settings : mapping
        ``corpus``: one of `CORPORA`; ``budget``: FLOPs to spend, as `training_flops` counts them, or in its
        place ``token_budget``: tokens to train on, both to the nearest number of whole batches; ``d_model``,
        ``n_layer``, ``n_ctx``; ``learning_rate``, of a matrix `BASE_WIDTH` wide; ``seed``, of weights and
        batches.

    Returns
    -------
    dict
        ``n_params``, ``n_params_non_embedding``; ``n_tokens`` trained on, ``n_unique_tokens`` of them
        different; ``flops``; ``batch`` and ``n_step``; ``loss`` and its standard error ``loss_error``, in
        nats per token; ``cpu_seconds``; when, and on what.

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


@torch.no_grad()
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
    losses = [
        F.cross_entropy(model(rows).transpose(1, 2), targets, reduction="none").mean(dim=1)
        for rows, targets in zip(torch.split(x, 64), torch.split(y, 64), strict=True)
    ]
    each = torch.cat(losses).double().numpy() - chance
    return float(each.mean()), float(each.std(ddof=1) / len(each) ** 0.5)


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
