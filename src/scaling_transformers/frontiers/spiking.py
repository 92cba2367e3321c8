"""Leaky integrate-and-fire neurons in discrete time, and how often one fires in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention._inputs import Array, namespace
from scaling_transformers.footprint._inputs import require_number


def heaviside(x: Array) -> Array:
    """1 where ``x`` is at least 0 and 0 elsewhere, in the type of ``x``: a neuron at its threshold fires."""
    xp = namespace(x=x)
    return xp.astype(x >= 0, x.dtype)


def lif_step(
    membrane: Array,
    current: Array,
    *,
    decay: float,
    threshold: float = 1.0,
    spike: Callable[[Array], Array] = heaviside,
) -> tuple[Array, Array]:
    """One time step of leaky integrate-and-fire neurons: leak, add the input, fire, and reset to 0 if fired.

    ``u = decay * membrane + current``; ``s = spike(u - threshold)``; what is left is ``u * (1 - s)``.

    Parameters
    ----------
    membrane, current : arrays, shapes that broadcast
        Potential left by the step before, and input of this step, in the unit of ``threshold``.
    decay : float
        Share of the potential that a step leaves, from 0 (no memory) to 1 (no leak).
    spike : function of (potential - threshold)
        `heaviside`, or one with the same values and a gradient of its own.

    Returns
    -------
    (spikes, membrane) : arrays
        Ones and zeros, and the potential after the reset.

    Raises
    ------
    ValueError
        If ``decay`` is not from 0 to 1, or ``threshold`` is not above 0.
    """
    require_number(decay, name="decay", most=1.0)
    require_number(threshold, name="threshold", above=True)
    potential = decay * membrane + current
    spikes = spike(potential - threshold)
    # The reset is a switch; a gradient through it would count the surrogate's slope a second time.
    fired = spikes.detach() if hasattr(spikes, "detach") else spikes
    return spikes, potential * (1 - fired)


def lif(
    current: Array,
    *,
    decay: float,
    threshold: float = 1.0,
    spike: Callable[[Array], Array] = heaviside,
) -> tuple[Array, Array]:
    """Spikes and potentials of neurons that start at rest, step by step along the first axis.

    Parameters
    ----------
    current : array, shape (T, ...)
        Input of each of T time steps.
    decay, threshold, spike : as in `lif_step`

    Returns
    -------
    (spikes, membrane) : arrays, shape (T, ...)
        The potential is that after a reset.

    Raises
    ------
    ValueError
        If there is no time step; else as `lif_step`.

    Examples
    --------
    >>> spikes, _ = lif(np.full(6, 0.6), decay=0.5)
    >>> spikes  # 0.6, 0.9, 1.05: fires and begins anew
    array([0., 0., 1., 0., 0., 1.])
    """
    if current.ndim < 1 or current.shape[0] < 1:
        raise ValueError(f"current must have a time step along its first axis; got shape {current.shape}")
    xp = namespace(current=current)
    membrane = xp.zeros_like(current[0])
    spikes, membranes = [], []
    for now in current:
        fired, membrane = lif_step(membrane, now, decay=decay, threshold=threshold, spike=spike)
        spikes.append(fired)
        membranes.append(membrane)
    return xp.stack(spikes), xp.stack(membranes)


@dataclass(frozen=True)
class Neuron:
    """A leaky integrate-and-fire neuron in physical units; the potential is counted from rest.

    Attributes
    ----------
    tau_ms : time constant of the leak, milliseconds
    resistance_mohm : of the membrane, megaohms
    threshold_mv : above rest, millivolts
    """

    tau_ms: float = 20.0
    resistance_mohm: float = 10.0
    threshold_mv: float = 15.0

    def __post_init__(self) -> None:
        for name in ("tau_ms", "resistance_mohm", "threshold_mv"):
            require_number(getattr(self, name), name=name, above=True)

    @property
    def rheobase_na(self) -> float:
        """The constant current, nanoamperes, above which the neuron fires at all."""
        return self.threshold_mv / self.resistance_mohm

    def decay(self, dt_ms: float) -> float:
        """Share of the potential that ``dt_ms`` milliseconds leave: exact for a constant input."""
        return math.exp(-require_number(dt_ms, name="dt_ms", above=True) / self.tau_ms)

    def simulate(self, current_na: ArrayLike, *, dt_ms: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """Spikes and potentials (millivolts) under a current (T, ...) in nanoamperes, ``dt_ms`` a step."""
        decay = self.decay(dt_ms)
        drive = (1 - decay) * self.resistance_mohm * np.asarray(current_na, dtype=float)
        return lif(drive, decay=decay, threshold=self.threshold_mv)

    def rate_hz(self, current_na: ArrayLike) -> NDArray[np.float64]:
        """Spikes a second under a constant current (nanoamperes), in continuous time and closed form.

        From rest the potential is ``R I (1 - exp(-t / tau))``; it reaches the threshold after
        ``tau ln(R I / (R I - threshold))``, and begins anew. 0 at or below the rheobase.
        """
        reached = self.resistance_mohm * np.asarray(current_na, dtype=float)
        fires = reached > self.threshold_mv
        over = np.where(fires, reached, 2 * self.threshold_mv)  # any that fires: the others are 0 below
        interval = self.tau_ms * np.log(over / (over - self.threshold_mv))
        return np.where(fires, 1000.0 / interval, 0.0)
