"""Counts and laws of single numbers work where NumPy is not installed, as in a browser."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scaling_transformers import preset
from scaling_transformers.accounting import (
    accelerator,
    arithmetic_intensity,
    chinchilla_forward_flops,
    count_parameters,
    forward_flops,
    kv_cache_bytes,
    least_seconds,
    training_flops,
    training_memory,
)
from scaling_transformers.footprint import (
    default,
    households,
    query_seconds,
    training_footprint,
    with_interval,
)
from scaling_transformers.scaling import ChinchillaLaw, DataConstrainedLaw, KaplanLaw

SOURCE = Path(__file__).parents[1] / "src"
MODELS = ("gpt2", "bert-base", "llama-2-7b", "mixtral-8x7b")
WITHOUT = """
import json, runpy, sys
sys.modules["numpy"] = None  # an import of it now fails as if it were not installed
module = runpy.run_path(sys.argv[1])
assert sys.modules["numpy"] is None
print(json.dumps(module["results"]()))
"""


def results():
    """Every path that a page runs, as numbers."""
    numbers = {}
    for name in MODELS:
        config = preset(name)
        n = min(300, config.n_ctx)
        count, flops = count_parameters(config), forward_flops(config, batch=2, seq_len=n)
        numbers[f"{name} parameters"] = [count.total, count.active, count.non_embedding]
        numbers[f"{name} flops"] = [flops.total, *flops.by_part.values()]
        numbers[f"{name} chinchilla"] = chinchilla_forward_flops(config, seq_len=n).total
        for convention in ("exact", "6nd", "chinchilla"):
            numbers[f"{name} {convention}"] = training_flops(config, n_tokens=3e11, convention=convention)
        for kind in ("none", "selective", "full"):
            held = training_memory(config, batch=2, seq_len=n, checkpointing=kind)
            numbers[f"{name} {kind}"] = [held.total, held.activations]
        if config.kind == "decoder":
            numbers[f"{name} cache"] = kv_cache_bytes(config, batch=3, seq_len=n)
            step = arithmetic_intensity(config, batch=3, seq_len=n, n_new=1)
            numbers[f"{name} step"] = [step.intensity, least_seconds(step, accelerator("H100"))]
    for law in (
        ChinchillaLaw.published(),
        KaplanLaw.published(),
        ChinchillaLaw(E=0, A=3, B=4, alpha=0.3, beta=0.4),
    ):
        best = law.optimal(flops=3e22)
        numbers[repr(type(law)) + str(law.loss(n_params=1, n_tokens=1))] = [
            law.loss(n_params=7e9, n_tokens=2e12),
            *(best.n_params, best.n_tokens, best.loss, best.tokens_per_parameter),
        ]
    law = ChinchillaLaw.refitted()
    numbers["slopes"] = law.slopes(n_params=7e9, n_tokens=2e12)
    numbers["enough"] = law.enough_params(n_tokens=2e12)
    numbers["repeated"] = DataConstrainedLaw.published().loss(
        n_params=7e9, n_tokens=2e12, n_unique_tokens=3e11
    )
    given = {"flops": 8.4e22, "accelerator": "A100", "carbon_intensity": 480}
    run = training_footprint(**given, utilisation=0.4, pue=1.09)
    numbers["footprint"] = [run.energy_kwh, run.co2e_kg, run.cost, households(run.energy_kwh)]
    ranges = {name: default(name).range for name in ("utilisation", "pue")}
    numbers["interval"] = with_interval(training_footprint, ranges, **given).interval["energy_kwh"]
    numbers["answer"] = query_seconds(preset("llama-2-7b"), tokens_in=100, tokens_out=50, accelerator="A100")
    return numbers


def test_counts_laws_and_footprints_give_the_same_numbers_without_numpy():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, __file__], stdout=subprocess.PIPE, text=True, check=True, timeout=120
    )
    without, expected = json.loads(done.stdout), json.loads(json.dumps(results()))
    assert without.keys() == expected.keys()
    for name, numbers in expected.items():
        # NumPy's powers and logarithms may differ from Python's in the last digit.
        assert without[name] == pytest.approx(numbers, rel=1e-14), name


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("accounting.vary(preset('gpt2'), d_model=[12, 24])", "ModuleNotFoundError: arrays need NumPy"),
        ("scaling.ChinchillaLaw.published().cheapest(loss=2.0)", "ModuleNotFoundError: arrays need NumPy"),
        ("scaling.ChinchillaLaw.published().loss(n_params=-1, n_tokens=1)", "ValueError: n_params must be"),
        ("scaling.ChinchillaLaw(E=True, A=1, B=1, alpha=1, beta=1)", "ValueError: E must be"),
    ],
)
def test_what_needs_arrays_says_so_and_wrong_numbers_are_refused_without_numpy(call, message):
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        f"from scaling_transformers import accounting, preset, scaling\n{call}"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode != 0
    assert message in done.stderr.splitlines()[-1]
