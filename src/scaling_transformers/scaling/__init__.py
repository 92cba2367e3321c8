"""Laws of scale: what parameters and tokens buy, fitted to runs and solved for the best split of a budget."""

from scaling_transformers.scaling.fits import LawFit, fit_chinchilla, fit_kaplan
from scaling_transformers.scaling.frontier import Frontier, fit_envelope, fit_isoflop
from scaling_transformers.scaling.laws import (
    Allocation,
    BrokenPowerLaw,
    ChinchillaLaw,
    DataConstrainedLaw,
    KaplanLaw,
)
from scaling_transformers.scaling.profile import Profile, profile_chinchilla

__all__ = [
    "Allocation",
    "BrokenPowerLaw",
    "ChinchillaLaw",
    "DataConstrainedLaw",
    "Frontier",
    "KaplanLaw",
    "LawFit",
    "Profile",
    "fit_chinchilla",
    "fit_envelope",
    "fit_isoflop",
    "fit_kaplan",
    "profile_chinchilla",
]
