"""A transformer block of spiking neurons and the dense one of the same shape, for short sequences of numbers.

The spiking one follows Spikformer (Zhou et al. 2023): queries, keys and values are spikes, and attention has
no softmax. Unlike there, layers add to a potential and not to spikes, so that each weight meets 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from scaling_transformers.footprint._inputs import require_whole
from scaling_transformers.frontiers.spiking import lif
from scaling_transformers.frontiers.spiking_energy import Work

DECAY, THRESHOLD, SLOPE = 0.5, 1.0, 2.0
ATTENTION_SCALE = 0.25  # a power of two: in hardware a shift of bits
MIXERS = ("attention", "mean")
PROJECTIONS = ("embed", "query", "key", "value", "out", "up", "down")


class SurrogateSpike(torch.autograd.Function):
    """A step with the gradient of a fast sigmoid: 1 where ``x >= 0``, backward ``1 / (1 + slope |x|)**2``.

    Source: Zenke & Ganguli 2018; Neftci, Mostafa & Zenke 2019.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        """1 where ``x`` is at least 0, else 0."""
        ctx.save_for_backward(x)
        ctx.slope = slope
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The surrogate's slope times the gradient that arrives; none for ``slope``."""
        (x,) = ctx.saved_tensors
        return gradients[0] / (1 + ctx.slope * x.abs()) ** 2, None


def surrogate_spike(x: Tensor, *, slope: float = SLOPE) -> Tensor:
    """`SurrogateSpike` as a function: 0 or 1 forward, a slope that learning can follow backward."""
    spikes: Tensor = SurrogateSpike.apply(x, slope)  # type: ignore[no-untyped-call]
    return spikes


class Projection(nn.Module):
    """A linear map and batch normalisation, which after training are one linear map with a bias."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out, bias=False)
        self.norm = nn.BatchNorm1d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_in) to (..., n_out)."""
        out = self.linear(x)
        normed: Tensor = self.norm(out.flatten(0, -2)).view(out.shape)
        return normed


class SequenceClassifier(nn.Module):
    """One block of attention and feed-forward over a sequence of vectors, and a class from the last token.

    With ``n_time`` the neurons are spiking: the input is a current, the same at each time step, every layer
    but the first reads spikes, and attention is ``(q k^T) v`` of spikes, scaled by a power of two, without
    softmax. Without it the same weights read numbers, attention has its softmax, queries, keys and values are
    plain numbers, and all other neurons are ReLUs.

    Parameters
    ----------
    n_token, n_in : tokens of a sequence, and numbers of each
    n_class : classes
    d_model, n_head, d_ff : width, heads, and width of the feed-forward layer
    n_time : time steps of the spiking neurons; None for the dense model
    mixer : one of `MIXERS`
        How tokens hear of each other: ``"mean"`` gives each the mean value of all in place of attention.

    Raises
    ------
    ValueError
        If a count is not a whole number of at least 1, the heads do not divide the width, or the mixer is
        unknown.
    """

    def __init__(
        self,
        n_token: int,
        n_in: int,
        n_class: int,
        *,
        d_model: int = 64,
        n_head: int = 2,
        d_ff: int = 128,
        n_time: int | None = None,
        mixer: str = "attention",
    ) -> None:
        super().__init__()
        counts = {"n_token": n_token, "n_in": n_in, "n_class": n_class, "d_model": d_model}
        counts |= {"n_head": n_head, "d_ff": d_ff, "n_time": 1 if n_time is None else n_time}
        for name, value in counts.items():
            require_whole(value, name=name)
        if d_model % n_head:
            raise ValueError(f"n_head must divide d_model = {d_model}; got {n_head}")
        if mixer not in MIXERS:
            raise ValueError(f"mixer must be one of {MIXERS}; got {mixer!r}")
        self.n_head, self.n_time, self.mixer = n_head, n_time, mixer
        self.embed = Projection(n_in, d_model)
        self.place = nn.Parameter(0.1 * torch.randn(n_token, d_model))
        self.query, self.key, self.value, self.out = (Projection(d_model, d_model) for _ in range(4))
        self.up, self.down = Projection(d_model, d_ff), Projection(d_ff, d_model)
        self.read = nn.Linear(d_model, n_class)
        self.probe: Callable[[str, Tensor], None] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, n_class) of sequences (batch, n_token, n_in)."""
        stream = self.embed(x) + self.place
        if self.n_time is not None:  # the same current at each step
            stream = stream.expand(self.n_time, *stream.shape)
        stream = stream + self._mix(self._fire(stream, "block"))
        hidden = self._fire(self.up(self._fire(stream, "up")), "down")
        stream = stream + self.down(hidden)
        logits: Tensor = self.read(self._fire(stream[..., -1, :], "read"))
        return logits if self.n_time is None else logits.mean(0)

    def _fire(self, current: Tensor, name: str, *, linear: bool = False) -> Tensor:
        """Spikes of neurons under a current; in the dense model its positive part, itself if ``linear``."""
        if self.n_time is None:
            out = current if linear else current.relu()
        else:
            out, _ = lif(current, decay=DECAY, threshold=THRESHOLD, spike=surrogate_spike)
        if self.probe is not None:
            self.probe(name, out)
        return out

    def _mix(self, tokens: Tensor) -> Tensor:
        value = self._fire(self.value(tokens), "value", linear=True)
        if self.mixer == "mean":
            mixed = value.mean(-2, keepdim=True).expand(value.shape)
        else:
            query = self._fire(self.query(tokens), "query", linear=True)
            key = self._fire(self.key(tokens), "key", linear=True)
            mixed = self._attend(query, key, value)
        heard: Tensor = self.out(self._fire(mixed, "out", linear=True))
        return heard

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (_heads(x, self.n_head) for x in (query, key, value))
        if self.n_time is None:
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.mT) @ v * ATTENTION_SCALE
        return mixed.transpose(-3, -2).flatten(-2)


def _heads(x: Tensor, n_head: int) -> Tensor:
    """(..., n_token, d_model) to (..., n_head, n_token, d_head)."""
    return x.reshape(*x.shape[:-1], n_head, -1).transpose(-3, -2)


@contextmanager
def probed(model: SequenceClassifier) -> Iterator[dict[str, Tensor]]:
    """What the neurons of a model emit while the block runs, by the layer that reads it."""
    seen: dict[str, Tensor] = {}
    model.probe = lambda name, out: seen.__setitem__(name, out.detach())
    try:
        yield seen
    finally:
        model.probe = None


def work_of(model: SequenceClassifier, x: Tensor) -> Work:
    """What a trained model does for one sequence: the mean over the sequences ``x`` (batch, n_token, n_in).

    A spike costs an addition for each weight that it meets. In attention a spike of a query meets the spikes
    of the keys in its own channel, and a spike of a value each score of its token that is not 0. Biases, into
    which the normalisations fold, and residual sums are additions in both kinds of model. Not counted, which
    favours the dense one: its softmax. Not counted, which favours the spiking one: the way of a spike to its
    targets, and reading and writing a sum at each addition to it.

    Raises
    ------
    ValueError
        If the model is being trained, or has no attention.
    """
    if model.training or model.mixer != "attention":
        raise ValueError("model must be one with attention, and set to evaluation by eval()")
    with torch.no_grad(), probed(model) as seen:
        model(x)
    n_batch, n_token, _ = x.shape
    n_time = model.n_time or 1
    layers: dict[str, nn.Linear] = {name: getattr(model, name).linear for name in PROJECTIONS}
    linear = {name: layer.weight.numel() for name, layer in layers.items()} | {
        "read": model.read.weight.numel()
    }
    rows = {name: n_token if name != "read" else 1 for name in linear}
    outputs = sum(rows[name] * layer.out_features for name, layer in layers.items()) + model.read.out_features
    d_model, n_head = model.read.in_features, model.n_head
    shared = sum(linear.values())
    sums = n_time * (outputs + 2 * n_token * d_model)  # biases, and two residual sums
    if model.n_time is None:
        products = sum(rows[name] * size for name, size in linear.items())
        mixing = 2 * n_token**2 * d_model
        inputs = sum(rows[name] * layer.in_features for name, layer in layers.items()) + d_model
        fired = sum(seen[name].numel() for name in ("block", "up", "down", "read")) / n_batch
        state = inputs + outputs + 4 * n_token * d_model + 2 * n_head * n_token**2
        return Work(products + mixing, sums, fired, shared, products, state)
    spikes = {name: out.sum().item() / n_batch for name, out in seen.items()}
    targets = {"block": 3 * d_model, "out": d_model, "up": model.up.linear.out_features}
    targets |= {"down": d_model, "read": model.read.out_features}
    met = sum(spikes[name] * fan_out for name, fan_out in targets.items())
    neurons = sum(out.numel() for out in seen.values()) / n_batch  # at each time step
    pairs = _coincidences(seen, n_head=n_head) / n_batch
    embedded = n_token * linear["embed"]
    return Work(embedded, met + pairs + sums, neurons, shared, embedded + met, 2 * neurons)


def _coincidences(seen: dict[str, Tensor], *, n_head: int) -> float:
    """Additions of attention: a query's and a key's spike in one channel; a value's spike and a score."""
    q, k, v = (_heads(seen[name], n_head) for name in ("query", "key", "value"))
    scores = q @ k.mT
    pairs = scores.sum()
    heard = (scores > 0).sum(-2)  # queries that hear of each token
    return float(pairs + (heard * v.sum(-1)).sum())
