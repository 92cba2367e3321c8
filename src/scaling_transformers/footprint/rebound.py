"""What efficiency saves when demand answers that use has become cheaper."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_transformers.footprint._inputs import require_number


@dataclass(frozen=True)
class Rebound:
    """Energy and use after a gain in efficiency, over those before.

    Attributes
    ----------
    energy_ratio : float
        Energy after over before. Above 1 the gain has backfired.
    use_ratio : float
        Use (tokens, queries) after over before.
    rebound : float
        Share of the saving expected at unchanged use that is lost: 0 none, 1 all, above 1 backfire. With no
        gain there is nothing to lose: 0.
    """

    energy_ratio: float
    use_ratio: float
    rebound: float

    @property
    def backfires(self) -> bool:
        """Whether more energy is used than before."""
        return self.energy_ratio > 1


def rebound(*, efficiency_gain: float, elasticity: float) -> Rebound:
    """Energy after efficiency has risen by a factor, when demand answers with a constant price elasticity.

    The price of a use falls with the energy that it takes, ``1 / efficiency_gain``; use grows as the price to
    the power ``-elasticity``. So ``energy after / before = efficiency_gain ** (elasticity - 1)``.

    Parameters
    ----------
    efficiency_gain : float
        Use per energy after over before: 2 halves the energy of a use. At least 1.
    elasticity : float
        Per cent more use for a price lower by one per cent. Not negative; above 1 the gain backfires.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> half = rebound(efficiency_gain=4.0, elasticity=0.5)
    >>> half.energy_ratio, half.use_ratio, round(half.rebound, 3)
    (0.5, 2.0, 0.333)
    >>> rebound(efficiency_gain=4.0, elasticity=1.5).backfires
    True

    Source: Khazzoom 1980; Berkhout, Muskens and Velthuijsen 2000 (Defining the rebound effect); Sorrell 2009
    (Jevons' Paradox revisited). The elasticity as constant, and energy as all of the price, are simplest
    cases: where energy is a part of the price, so is the elasticity that counts here.
    """
    gain = require_number(efficiency_gain, name="efficiency_gain", least=1.0)
    answer = require_number(elasticity, name="elasticity")
    ratio = gain ** (answer - 1)
    expected = 1 - 1 / gain
    return Rebound(
        energy_ratio=ratio,
        use_ratio=gain**answer,
        rebound=1 - (1 - ratio) / expected if expected else 0.0,
    )
