"""A selective state space: a recurrence whose decay and input depend on the token, in place of attention.

Each of ``d`` channels keeps ``n_state`` numbers, whatever the length of the text.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling_transformers.attention.masks import require_count
from scaling_transformers.config import TransformerConfig
from scaling_transformers.frontiers.cheap_counts import N_STATE, N_TAP
from scaling_transformers.model.attention import Context

CHUNK = 16  # tokens read one after the other; the chunks of a text are read side by side
STEP_SIZES = (1e-3, 1e-1)  # of the steps at the start of training


class State(NamedTuple):
    """What the layer keeps of the tokens read so far."""

    tail: Tensor  #: The last inputs of the convolution, shape (batch, N_TAP - 1, d).
    sums: Tensor  #: The numbers of the recurrence, shape (batch, d, n_state).


def discretise(step: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """Decay and gain of ``h' = rate h + x`` over a time ``step`` in which ``x`` is held (zero-order hold).

    Parameters
    ----------
    step : tensor, shape (..., d), positive
    rate : tensor, shape (d, n_state), negative

    Returns
    -------
    decay, gain : tensors, shape (..., d, n_state)
        ``exp(step * rate)`` and ``(exp(step * rate) - 1) / rate``.

    Source: Gu and Dao 2023 (Mamba), zero-order hold, of a diagonal matrix.
    """
    less = torch.expm1(step[..., None] * rate)
    return less + 1, less / rate


def scan(decay: Tensor, drive: Tensor, *, chunk: int = CHUNK, backward: bool = False) -> Tensor:
    """All states of ``h[t] = decay[t] * h[t - 1] + drive[t]``, from ``h[-1] = 0``; it keeps no gradient.

    The text is cut into chunks, which are read side by side as if each were the first; then each chunk in
    turn is given what the one before it left, times the decay since. Of ``n`` steps ``chunk + n / chunk``
    stand after each other in place of ``n``. Only products of decays occur, so nothing overflows.

    Parameters
    ----------
    decay, drive : tensors of one shape (n, ...)
    chunk : int
        Changes the time and not the answer.
    backward : bool
        From the end of the text: ``h[t] = decay[t + 1] * h[t + 1] + drive[t]``, which is how gradients go.

    Returns
    -------
    tensor, shape (n, ...)

    Raises
    ------
    ValueError
        If the shapes differ or ``chunk`` is not a whole number of at least 1.

    Examples
    --------
    >>> half = torch.full((4,), 0.5)
    >>> scan(half, torch.tensor([1.0, 0.0, 0.0, 1.0])).tolist()
    [1.0, 0.5, 0.25, 1.125]

    Source: Blelloch 1990 (Prefix sums), for the recurrence as a scan.
    """
    require_count(chunk=chunk)
    if decay.shape != drive.shape:
        raise ValueError(
            f"decay and drive must have one shape; got {tuple(decay.shape)} and {tuple(drive.shape)}"
        )
    n, width = len(decay), math.prod(decay.shape[1:])
    shape = (-(-n // chunk), chunk, width)
    h, since = (drive.new_zeros(shape) for _ in range(2))
    h.view(-1, width)[:n] = drive.reshape(n, width)
    rows = decay.reshape(n, width)
    if backward:
        since.view(-1, width)[: n - 1] = rows[1:]
        inside, outside, edge, before = range(chunk - 2, -1, -1), range(len(h) - 2, -1, -1), 0, 1
    else:
        since.view(-1, width)[:n] = rows
        inside, outside, edge, before = range(1, chunk), range(1, len(h)), -1, -1
    for i in inside:
        h[:, i].addcmul_(since[:, i], h[:, i + before])
        since[:, i].mul_(since[:, i + before])  # from one decay to that since the chunk's edge
    for j in outside:
        h[j].addcmul_(since[j], h[j + before, edge])
    return h.view(-1, width)[:n].view(decay.shape)


def selective_scan(
    u: Tensor, step: Tensor, rate: Tensor, b: Tensor, c: Tensor, start: Tensor
) -> tuple[Tensor, Tensor]:
    """Answers of the selective recurrence, ``c . h``, and the state after the last token.

    Each channel's state decays and takes in ``b u`` over the time ``step`` (`discretise`). The gradient is
    written out, for the states of all tokens, times ``n_state``, are what takes the time.

    Parameters
    ----------
    u, step : tensors, shape (n, batch, d); step positive
    rate : tensor, shape (d, n_state), negative
    b, c : tensors, shape (n, batch, n_state)
    start : tensor, shape (batch, d, n_state)
        The state before the first token.

    Returns
    -------
    y : tensor, shape (n, batch, d)
    last : tensor, shape (batch, d, n_state)
        It passes no gradient on.

    Source: Gu and Dao 2023 (Mamba), the selective scan.
    """
    found: tuple[Tensor, Tensor] = _SelectiveScan.apply(u, step, rate, b, c, start)  # type: ignore[no-untyped-call]
    return found


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, u: Tensor, step: Tensor, rate: Tensor, b: Tensor, c: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        decay, gain = discretise(step, rate)
        drive = (u[..., None] * b[..., None, :]).mul_(gain)
        drive[0].addcmul_(decay[0], start)
        states = scan(decay, drive)
        last = states[-1].clone()
        ctx.save_for_backward(u, step, rate, b, c, start, decay, gain, states)
        ctx.mark_non_differentiable(last)
        return (states @ c[..., None]).squeeze(-1), last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        u, step, rate, b, c, start, decay, gain, states = ctx.saved_tensors
        y_grad = grads[0]
        c_grad = (y_grad[..., None, :] @ states).squeeze(-2)
        total = scan(decay, y_grad[..., None] * c[..., None, :], backward=True)  # of the drive
        start_grad = total[0] * decay[0]
        taken = total * gain
        u_grad = (taken @ b[..., None]).squeeze(-1)
        b_grad = (u[..., None, :] @ taken).squeeze(-2)
        # of the gain, times the gain: (decay - 1) / rate moves with the rate in two ways
        at_gain = taken.mul_(u[..., None] * b[..., None, :])
        rate_grad = -at_gain.sum(dim=(0, 1)) / rate
        at_less = (total * u[..., None]).mul_(b[..., None, :]).div_(rate)
        at_less[1:].addcmul_(total[1:], states[:-1])
        at_less[0].addcmul_(total[0], start)
        at_less.mul_(decay)
        step_grad = (at_less * rate).sum(dim=-1)
        rate_grad += (at_less * step[..., None]).sum(dim=(0, 1))
        return u_grad, step_grad, rate_grad, b_grad, c_grad, start_grad


class StateSpace(nn.Module):
    """A mixer of tokens with the call of `Attention`: convolution, selective recurrence, gate, projection.

    For the token ``x`` of ``d`` channels, after a causal convolution of `N_TAP` tokens and SiLU: step
    ``softplus(bias + w . x)`` for each channel, input vector ``B`` and output vector ``C`` of ``n_state``
    numbers, linear in ``x``. Each channel's state decays by ``exp(step * A)``, takes in ``B x`` and answers
    ``C . h + D x``. The answer is gated by SiLU of a second projection and projected.

    The inner width is ``d_model``, so that the layer has about as many weights as attention; Mamba doubles
    it, and leaves out the feed-forward layer. The step has one direction ``w``, as in the paper. It needs no
    positions: rotary angles are not read.

    Raises
    ------
    ValueError
        If the config is not of a causal decoder.

    Source: Gu and Dao 2023 (Mamba), with zero-order hold for ``B`` too.
    """

    def __init__(self, config: TransformerConfig, *, n_state: int = N_STATE):
        super().__init__()
        if config.kind != "decoder":
            raise ValueError(f"config must have kind='decoder' for a state space; got {config.kind!r}")
        d = config.d_model
        self.d, self.n_state = d, n_state
        self.enter = nn.Linear(d, 2 * d, bias=False)  # what is mixed, and its gate
        self.select = nn.Linear(d, 1 + 2 * n_state, bias=False)  # step, B, C
        self.out = nn.Linear(d, d, bias=False)
        # What acts number by number has one axis, so that its rate and its start do not follow the width.
        self.taps = nn.Parameter(torch.empty(N_TAP * d).uniform_(-(N_TAP**-0.5), N_TAP**-0.5))
        self.taps_bias = nn.Parameter(torch.zeros(d))
        self.log_rate = nn.Parameter(torch.arange(1.0, n_state + 1).log().repeat(d))
        self.skip = nn.Parameter(torch.ones(d))
        low, high = map(math.log, STEP_SIZES)
        steps = torch.empty(d).uniform_(low, high).exp()
        self.step_bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))  # softplus of it is the step
        for linear in (self.enter, self.select):
            nn.init.normal_(linear.weight, std=d**-0.5)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, context: Context) -> tuple[Tensor, None]:
        """The layer's answer to a whole text, and no weights, for there are none."""
        asked = {
            "mask": context.mask,
            "head_gate": context.head_gate,
            "cache": context.cache,
            "merging": context.merging,
            "return_attention": context.return_attention or None,
        }
        for name, value in asked.items():
            if value is not None:
                raise ValueError(f"{name} must not be given to a model without attention weights")
        return self.read(x)[0], None

    def read(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The layer's answer to the next tokens, and the state after them.

        Parameters
        ----------
        x : tensor, shape (batch, n, d)
            The next ``n`` tokens: the whole text, or one when it is written.
        state : State, optional
            What the last call returned; None at the start of a text.

        Returns
        -------
        out : tensor, shape (batch, n, d)
        state : State
        """
        batch, n, d = x.shape
        entered, gate = self.enter(x).chunk(2, dim=-1)
        tail = x.new_zeros(batch, N_TAP - 1, d) if state is None else state.tail
        window = torch.cat([tail, entered], dim=1)
        taps = self.taps.view(N_TAP, d)
        mixed = self.taps_bias + sum(taps[i] * window[:, i : i + n] for i in range(N_TAP))
        u = F.silu(mixed).transpose(0, 1).contiguous()  # (n, batch, d): the scan runs over the first axis
        step, b, c = self.select(u).split([1, self.n_state, self.n_state], dim=-1)
        step, rate = F.softplus(step + self.step_bias), -self.log_rate.view(d, -1).exp()
        start = x.new_zeros(batch, d, self.n_state) if state is None else state.sums
        y, last = selective_scan(u, step, rate, b, c, start)
        y = y + self.skip * u
        out: Tensor = self.out(y.transpose(0, 1) * F.silu(gate))
        return out, State(window[:, n:], last)
