"""Fits find the function that made the data; the published tables are whole and have sources."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers._tables import read_rows
from scaling_transformers.cognition.forgetting import FORMS, fit_retention, human_attention, human_memory

TIMES = np.array([0.0, 0.5, 1, 2, 4, 8, 16, 32])


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, derandomize=True, max_examples=20)
@given(scale=st.floats(0.1, 2), rate=st.floats(0.01, 0.25))
def test_data_made_by_a_form_give_its_scale_and_rate_back(form, scale, rate):
    found = fit_retention(TIMES, scale * FORMS[form](TIMES, rate), form=form)
    assert found.scale == pytest.approx(scale, rel=1e-3)
    assert found.rate == pytest.approx(rate, rel=1e-3)
    assert found.r_squared > 1 - 1e-6
    assert found(TIMES) == pytest.approx(scale * FORMS[form](TIMES, rate), abs=1e-3)


def test_a_fit_is_as_good_as_that_of_a_general_optimiser():
    optimize = pytest.importorskip("scipy.optimize")
    kept = 0.7 * (1 + TIMES) ** -0.4 + 0.03 * np.cos(5 * TIMES)
    for form, function in FORMS.items():
        (scale, rate), _ = optimize.curve_fit(
            lambda t, a, b, f=function: a * f(t, b), TIMES, kept, p0=(0.7, 0.1)
        )
        best = ((scale * function(TIMES, rate) - kept) ** 2).sum()
        ours = ((fit_retention(TIMES, kept, form=form)(TIMES) - kept) ** 2).sum()
        assert ours == pytest.approx(best, rel=1e-4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="a form"):
        fit_retention(TIMES, TIMES, form="cubic")
    with pytest.raises(ValueError, match="one shape"):
        fit_retention(TIMES, TIMES[1:], form="power")
    with pytest.raises(ValueError, match="one shape"):
        fit_retention([0, 1], [1, 0.5], form="power")
    with pytest.raises(ValueError, match="not negative"):
        fit_retention(-TIMES, TIMES, form="power")


def test_what_does_not_fall_is_explained_by_no_forgetting():
    assert fit_retention(TIMES, np.ones(8), form="power").r_squared == 1


@pytest.mark.parametrize("table", ["human_memory.csv", "human_attention.csv"])
def test_every_published_number_names_its_source_and_unit(table):
    for row in read_rows(table):
        assert row["source"]
        assert row["unit"]
        assert row["note"]
        assert float(row["value"]) > 0


def test_ebbinghaus_kept_less_the_longer_he_waited():
    rows = human_memory("ebbinghaus")
    assert len(rows) == 7
    assert [row.x for row in rows] == sorted(row.x for row in rows)
    assert [row.value for row in rows] == sorted((row.value for row in rows), reverse=True)


def test_people_forget_by_no_exponential():
    rows = human_memory("ebbinghaus")
    fits = {f: fit_retention([r.x for r in rows], [r.value for r in rows], form=f).r_squared for f in FORMS}
    assert min(fits, key=fits.get) == "exponential"
    assert fits["power"] > 0.9


def test_an_unknown_study_is_refused():
    with pytest.raises(ValueError, match="a study"):
        human_memory("nobody")
    assert {row.study for row in human_attention()} >= {"rayner", "liu"}
