"""What an import promises: nothing heavy that the reader did not ask for."""

import subprocess
import sys

import pytest

ATTEND = (
    "import numpy as np; from scaling_transformers.attention import scaled_dot_product_attention as attend; "
    "attend(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)))"
)


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import scaling_transformers", {"torch", "numpy"}),
        ("from scaling_transformers import preset; preset('gpt2')", {"torch", "numpy"}),
        ("import scaling_transformers.accounting", {"torch"}),
        ("import scaling_transformers.attention", {"torch"}),
        (ATTEND, {"torch"}),
        ("import scaling_transformers.efficiency", {"torch"}),
        ("import scaling_transformers.sparsity", {"torch"}),
    ],
)
def test_an_import_loads_nothing_heavy(code, absent):
    listed = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(listed.stdout.split())
    assert any(name.startswith("scaling_transformers") for name in loaded)
    assert not absent & loaded
