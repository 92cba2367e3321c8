"""Laws of scale: what parameters and tokens buy, fitted to runs and solved for the best split of a budget."""

from scaling_transformers.scaling.broken import fit_broken
from scaling_transformers.scaling.fits import LawFit, fit_chinchilla, fit_kaplan
from scaling_transformers.scaling.frontier import Frontier, fit_envelope, fit_isoflop
from scaling_transformers.scaling.held import fit_terms
from scaling_transformers.scaling.laws import (
    Allocation,
    BrokenPowerLaw,
    ChinchillaLaw,
    DataConstrainedLaw,
    KaplanLaw,
)
from scaling_transformers.scaling.points import load_chinchilla_points
from scaling_transformers.scaling.profile import Profile, profile_chinchilla, profile_kaplan
from scaling_transformers.scaling.reconcile import (
    NonEmbeddingFrontier,
    non_embedding_frontier,
    total_from_non_embedding,
)
from scaling_transformers.scaling.repeated import fit_data_constrained

__all__ = [
    "Allocation",
    "BrokenPowerLaw",
    "ChinchillaLaw",
    "DataConstrainedLaw",
    "Frontier",
    "KaplanLaw",
    "LawFit",
    "NonEmbeddingFrontier",
    "Profile",
    "fit_broken",
    "fit_chinchilla",
    "fit_data_constrained",
    "fit_envelope",
    "fit_isoflop",
    "fit_kaplan",
    "fit_terms",
    "load_chinchilla_points",
    "non_embedding_frontier",
    "profile_chinchilla",
    "profile_kaplan",
    "total_from_non_embedding",
]
