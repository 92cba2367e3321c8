"""The model and its training that reach a loss with the smallest footprint, use included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from scaling_transformers.accelerators import Accelerator
from scaling_transformers.footprint._inputs import require_number, require_share
from scaling_transformers.footprint.estimate import (
    Conditions,
    Footprint,
    device_footprint,
    hours_of,
)

if TYPE_CHECKING:
    from scaling_transformers.scaling import ChinchillaLaw


@dataclass(frozen=True)
class SmallestFootprint:
    """Parameters and training tokens that reach ``loss``, with the footprints of training and of use."""

    n_params: float  #: Parameters.
    n_tokens: float  #: Tokens of training.
    loss: float
    training: Footprint
    inference: Footprint  #: Of all use.

    @property
    def total(self) -> Footprint:
        """Footprint of a whole life."""
        return self.training + self.inference


def smallest_footprint(
    law: ChinchillaLaw,
    *,
    loss: float,
    n_inference_tokens: float = 0.0,
    accelerator: str | Accelerator = "A100",
    utilisation: float,
    inference_utilisation: float | None = None,
    pue: float,
    carbon_intensity: float,
    **conditions: Unpack[Conditions],
) -> SmallestFootprint:
    """The parameters and training tokens that reach ``loss`` with the least energy in a life.

    Training takes 6 FLOPs a parameter and token, use 2. On one kind of accelerator energy, carbon, water and
    rent all go with device hours, ``6 N D / utilisation + 2 N D_inf / inference_utilisation``, so that one
    choice is least in all of them: that of `ChinchillaLaw.cheapest` where a token in use counts
    ``utilisation / inference_utilisation`` times.

    Parameters
    ----------
    law : ChinchillaLaw
    loss : float
        To be reached, nats a token; above the law's E.
    n_inference_tokens : float
        Read or written in the whole life. Not negative.
    utilisation, inference_utilisation : float
        Share of the peak in training, and in use (default: the same). Writing token by token reaches far
        less. Above 0, at most 1.
    accelerator, pue, carbon_intensity, **conditions
        As in `device_footprint`.

    Raises
    ------
    ValueError
        If a number is out of its range or the loss out of reach.

    Examples
    --------
    >>> from scaling_transformers.scaling import ChinchillaLaw
    >>> law = ChinchillaLaw.published()
    >>> for used in (0, 1e13):
    ...     best = smallest_footprint(
    ...         law, loss=2.0, n_inference_tokens=used, utilisation=0.4, pue=1.1, carbon_intensity=400
    ...     )
    ...     print(f"{best.n_params:.2e} parameters, {best.total.energy_kwh / 1e6:.2f} GWh")
    1.53e+10 parameters, 0.11 GWh
    6.49e+09 parameters, 0.28 GWh

    Source: Sardana et al. 2024, section 2 (what is minimised).
    """
    share = require_share(utilisation, name="utilisation")
    in_use = share if inference_utilisation is None else inference_utilisation
    in_use = require_share(in_use, name="inference_utilisation")
    used = require_number(n_inference_tokens, name="n_inference_tokens", unit="tokens")
    best = law.cheapest(loss=loss, n_inference_tokens=used * share / in_use)
    n_params, n_tokens = float(best.n_params), float(best.n_tokens)

    def footprint(flops: float, utilised: float) -> Footprint:
        return device_footprint(
            device_hours=hours_of(flops, accelerator, utilised),
            accelerator=accelerator,
            pue=pue,
            carbon_intensity=carbon_intensity,
            **conditions,
        )

    return SmallestFootprint(
        n_params=n_params,
        n_tokens=n_tokens,
        loss=float(best.loss),
        training=footprint(6 * n_params * n_tokens, share),
        inference=footprint(2 * n_params * used, in_use),
    )
