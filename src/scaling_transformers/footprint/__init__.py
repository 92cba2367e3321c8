"""What training and use take from the world: energy, carbon, water and money, each with its assumptions.

Plain arithmetic on numbers: no torch, and NumPy only where a model's config or a law of loss comes in.
"""

from scaling_transformers.footprint.defaults import Default, default, defaults
from scaling_transformers.footprint.estimate import (
    Footprint,
    break_even_days,
    device_footprint,
    inference_footprint,
    query_seconds,
    training_footprint,
)
from scaling_transformers.footprint.intervals import Estimate, with_interval
from scaling_transformers.footprint.operations import (
    ChipEnergy,
    Operation,
    operation,
    operation_energy,
    operations,
)
from scaling_transformers.footprint.places import Grid, Household, grids, household, households
from scaling_transformers.footprint.rebound import Rebound, rebound
from scaling_transformers.footprint.smallest import SmallestFootprint, smallest_footprint

__all__ = [
    "ChipEnergy",
    "Default",
    "Estimate",
    "Footprint",
    "Grid",
    "Household",
    "Operation",
    "Rebound",
    "SmallestFootprint",
    "break_even_days",
    "default",
    "defaults",
    "device_footprint",
    "grids",
    "household",
    "households",
    "inference_footprint",
    "operation",
    "operation_energy",
    "operations",
    "query_seconds",
    "rebound",
    "smallest_footprint",
    "training_footprint",
    "with_interval",
]
