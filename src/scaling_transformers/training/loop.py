"""A training loop of one screen: AdamW, warm-up and decay, clipping; it can be stopped and goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scaling_transformers.accounting import Mesh
from scaling_transformers.attention.masks import require_count
from scaling_transformers.model import Transformer
from scaling_transformers.training.checkpoint import Checkpoint
from scaling_transformers.training.engine import Engine, OneProcess, Pass
from scaling_transformers.training.language import SyntheticLanguage
from scaling_transformers.training.parameterisation import parameter_groups

SCHEDULES = ("cosine", "wsd")
DTYPES = ("float32", "bfloat16")
BETAS, WEIGHT_DECAY = (0.9, 0.95), 0.1

Text = NDArray[np.unsignedinteger[Any]] | SyntheticLanguage
"""What models are trained on: an array of tokens, or a language that goes on for ever."""


def sample_batch(text: Text, *, batch: int, n: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Random cuts of a text: tokens and their successors, each of shape (batch, n).

    Of a `SyntheticLanguage` the cuts follow each other, from a place that no other batch has seen but for an
    unlikely chance; each begins with a tree.

    Raises
    ------
    ValueError
        If the text is shorter than ``n + 1``, or ``n`` tokens are not whole trees of the language, or
        ``batch`` or ``n`` is not a whole number of at least 1.
    """
    require_count(batch=batch, n=n)
    if isinstance(text, SyntheticLanguage):
        if n % text.tree_length:
            raise ValueError(f"n must be a multiple of the language's trees of {text.tree_length}; got {n}")
        start = int(generator.integers(2**40)) * text.tree_length
        stream = torch.from_numpy(text.tokens(start=start, n=batch * n + 1).astype(np.int64))
        return stream[:-1].view(batch, n), stream[1:].view(batch, n)
    if text.ndim != 1 or len(text) < n + 1:
        raise ValueError(f"text must have one axis of at least {n + 1} tokens; got shape {text.shape}")
    starts = generator.integers(0, len(text) - n, size=batch)
    cuts = torch.from_numpy(text[starts[:, None] + np.arange(n + 1)].astype(np.int64))
    return cuts[:, :-1], cuts[:, 1:]


Sampler = Callable[..., tuple[Tensor, Tensor]]
"""Answers tokens and targets, as `sample_batch` does."""


def rate_factor(step: int, *, n_step: int, schedule: str = "cosine") -> float:
    """The learning rate of a step, as a share of the highest.

    It rises linearly over the first 2 % of the steps. With ``"cosine"`` it then falls on half a cosine to a
    tenth; with ``"wsd"`` (warm-up, stable, decay) it stays, and falls linearly to a tenth over the last 20 %.

    Source: Loshchilov and Hutter 2017 (SGDR), equation 5, without restarts; Hu et al. 2024 (MiniCPM), whose
    end is exponential in place of linear.

    Raises
    ------
    ValueError
        If there is no such schedule, or ``n_step`` is not a whole number of at least 1.

    Examples
    --------
    >>> [round(rate_factor(step, n_step=100, schedule="wsd"), 2) for step in (0, 1, 50, 80, 90, 100)]
    [0.5, 1.0, 1.0, 1.0, 0.55, 0.1]
    """
    require_count(n_step=n_step)
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {SCHEDULES}; got {schedule!r}")
    warm_up = max(1, n_step // 50)
    if step < warm_up:
        return (step + 1) / warm_up
    if schedule == "wsd":
        last = max(1, n_step // 5)
        return 1.0 - 0.9 * max(0, step - (n_step - last)) / last
    progress = (step - warm_up) / max(1, n_step - warm_up)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * progress))


def weight_groups(model: Transformer, *, learning_rate: float, transfer: bool) -> list[dict[str, Any]]:
    """Groups for AdamW: those of `parameter_groups`, or one rate for all and a decay of what has two axes."""
    if transfer:
        return parameter_groups(model, learning_rate=learning_rate)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    return [
        {"params": decayed, "lr": learning_rate, "weight_decay": WEIGHT_DECAY},
        {"params": plain, "lr": learning_rate, "weight_decay": 0.0},
    ]


def train(
    model: Transformer,
    text: Text,
    *,
    n_step: int,
    batch: int,
    n: int,
    learning_rate: float,
    seed: int = 0,
    transfer: bool = False,
    sampler: Sampler = sample_batch,
    each_step: Callable[[int, float], None] | None = None,
    schedule: str = "cosine",
    accumulate: int = 1,
    dtype: str = "float32",
    compile: bool = False,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 100,
    progress: bool = False,
    auxiliary_weight: float = 0.01,
    every_exit: bool = False,
    mesh: Mesh | None = None,
) -> list[float]:
    """Train in place on random cuts of a text; return the loss of every step, in nats per token.

    The model is put into training mode; it stays on its device, and the batches go there.

    Parameters
    ----------
    n_step, batch, n : int
        Steps, texts a step, tokens a text.
    learning_rate : float
        The highest; `rate_factor` says what share of it a step has.
    seed : int
        Of the batches.
    transfer : bool
        Give each matrix the rate that `parameter_groups` has for its width, and decay nothing.
    sampler : callable
        Makes other batches of the text than `sample_batch`; all its chance must be the ``generator``'s.
    each_step : callable
        Is told each step and its loss.
    schedule : str
        One of `SCHEDULES`.
    accumulate : int
        Parts in which a batch goes through the model, one after the other: less memory, the same gradient.
    dtype : str
        One of `DTYPES`. With ``"bfloat16"`` the matrix products run in it, by torch's autocast; weights and
        the sums of the loss keep their digits.
    compile : bool
        Compile the model's way to its last hidden states. On a CPU torch needs a C++ compiler for this.
    checkpoint : path, optional
        File that is replaced every ``checkpoint_every`` steps and at the end. Where it is there already, the
        run goes on from it, to the same weights, bit for bit on a CPU, as without the break. Steps after the
        last checkpoint are done again, and ``each_step`` is told of them again.
    progress : bool
        Show a bar with loss, rate and tokens a second.
    auxiliary_weight : float
        Factor of what a model that skips work adds to the loss (`Trace.losses`); the losses returned are
        without it.
    every_exit : bool
        Train each block to be an exit: the loss, of which the losses returned are, is `exit_loss`.
    mesh : Mesh, optional
        Train on many devices, in each process that ``torchrun`` has started; see
        `scaling_transformers.parallelism`. Every process gives the same model and arguments. ``batch`` is
        that of all devices together; ``accumulate`` counts the parts in which each device's texts follow each
        other (a pipeline's micro-batches); ``checkpoint`` is a folder, from which a run goes on under
        any mesh. Afterwards each process's model holds that process's part of the weights.

    Raises
    ------
    ValueError
        If an argument is outside what is said above, or the checkpoint is that of another run.
    FloatingPointError
        If loss or gradient stop being finite; the message names step, learning rate and batch.
    """
    require_count(accumulate=accumulate, checkpoint_every=checkpoint_every)
    if accumulate > batch:
        raise ValueError(f"accumulate must be at most batch={batch}; got {accumulate}")
    if not (math.isfinite(auxiliary_weight) and auxiliary_weight >= 0):
        raise ValueError(f"auxiliary_weight must be finite and at least 0; got {auxiliary_weight!r}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {DTYPES}; got {dtype!r}")
    rate_factor(0, n_step=n_step, schedule=schedule)
    how = Pass(accumulate, dtype, compile, auxiliary_weight, every_exit)
    settings: dict[str, Any] = {
        "n_step": n_step,
        "batch": batch,
        "n": n,
        "learning_rate": learning_rate,
        "seed": seed,
        "transfer": transfer,
        "schedule": schedule,
    }
    saved: Checkpoint | None = None
    if mesh is None:
        if checkpoint is not None:
            saved = Checkpoint.of(Path(checkpoint), model, text, sampler=sampler, **settings, **asdict(how))
        engine: Engine = OneProcess(model, how)
    else:
        from scaling_transformers.parallelism.checkpoint import MeshCheckpoint
        from scaling_transformers.parallelism.engine import MeshEngine

        MeshEngine.check(model, mesh, how, batch=batch)
        if checkpoint is not None:
            rest = {name: value for name, value in asdict(how).items() if name != "accumulate"}
            saved = MeshCheckpoint.of(Path(checkpoint), model, text, sampler=sampler, **settings, **rest)
        engine = MeshEngine(model, mesh, how, batch=batch, n=n)
        model = engine.model
    groups = engine.groups(weight_groups(model, learning_rate=learning_rate, transfer=transfer))
    rates = [group["lr"] for group in groups]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=BETAS, fused=True)
    generator = np.random.default_rng(seed)
    losses = [] if saved is None else saved.resume(model, optimizer, generator)
    model.train()  # one that halts must run all its steps
    steps: Any = range(len(losses), n_step)
    if progress:
        from tqdm import tqdm

        steps = tqdm(steps, initial=len(losses), total=n_step, unit=" tokens", unit_scale=batch * n)
    for step in steps:
        factor = rate_factor(step, n_step=n_step, schedule=schedule)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        tokens, targets = sampler(text, batch=batch, n=n, generator=generator)
        optimizer.zero_grad()
        loss, norm = engine.clip(engine.backward(tokens, targets))
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not torch.isfinite(value):
                raise FloatingPointError(
                    f"{name} is {value.item()} at step {step} with learning rate {learning_rate * factor:g}, "
                    f"on batch {step} of seed {seed}, whose first tokens are {tokens[0, :8].tolist()}"
                )
        optimizer.step()
        losses.append(loss.item())
        if each_step is not None:
            each_step(step, losses[-1])
        if saved is not None and ((step + 1) % checkpoint_every == 0 or step + 1 == n_step):
            saved.write(model, optimizer, generator, losses)
        if progress:
            steps.set_postfix(loss=f"{losses[-1]:.4f}", rate=f"{learning_rate * factor:.2e}")
    return losses


@contextmanager
def measuring(model: nn.Module) -> Iterator[None]:
    """Without gradients and in eval mode, in which no model looks ahead; the mode is put back after."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def token_losses(model: Transformer, tokens: Tensor, *, head_gate: Tensor | None = None) -> Tensor:
    """Loss of predicting each token but the first from those before it, in nats.

    Parameters
    ----------
    tokens : integer tensor, shape (batch, n)
    head_gate : as for `Transformer.forward`

    Returns
    -------
    tensor, shape (batch, n - 1)
    """
    with measuring(model):
        logits = model(tokens[:, :-1], head_gate=head_gate)
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")


def validation_loss(model: Transformer, text: Text, *, n: int, n_text: int, seed: int = 0) -> float:
    """Mean loss, in nats per token, over ``n_text`` random cuts of ``n`` tokens."""
    require_count(n_text=n_text)
    generator = np.random.default_rng(seed)
    total = 0.0
    with measuring(model):
        for start in range(0, n_text, 32):
            count = min(32, n_text - start)
            tokens, targets = sample_batch(text, batch=count, n=n, generator=generator)
            total += count * F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).item()
    return total / n_text
