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
from scaling_transformers.footprint.measure import MeasuredEnergy, measured_energy
from scaling_transformers.footprint.operations import (
    ChipEnergy,
    Operation,
    operation,
    operation_energy,
    operations,
)
from scaling_transformers.footprint.places import (
    Grid,
    Household,
    grid,
    grids,
    household,
    household_table,
    households,
)
from scaling_transformers.footprint.rebound import Rebound, rebound
from scaling_transformers.footprint.reported import (
    Comparison,
    Prediction,
    TrainingEnergyRun,
    compare_with_reported,
    predicted_energy,
    training_energy_runs,
)
from scaling_transformers.footprint.smallest import SmallestFootprint, smallest_footprint

__all__ = [
    "ChipEnergy",
    "Comparison",
    "Default",
    "Estimate",
    "Footprint",
    "Grid",
    "Household",
    "MeasuredEnergy",
    "Operation",
    "Prediction",
    "Rebound",
    "SmallestFootprint",
    "TrainingEnergyRun",
    "break_even_days",
    "compare_with_reported",
    "default",
    "defaults",
    "device_footprint",
    "grid",
    "grids",
    "household",
    "household_table",
    "households",
    "inference_footprint",
    "measured_energy",
    "operation",
    "operation_energy",
    "operations",
    "predicted_energy",
    "query_seconds",
    "rebound",
    "smallest_footprint",
    "training_energy_runs",
    "training_footprint",
    "with_interval",
]
