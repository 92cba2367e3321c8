"""The shipped runs are complete, and the functions that make them give rows of the same columns."""

import numpy as np

from scaling_transformers.frontiers import fields_runs
from scaling_transformers.frontiers.teacher_student import n_parameters


def test_short_runs_have_the_columns_that_are_shipped():
    made = {
        "students": fields_runs.run_students(6, grown="parameters", n_step=2, dimensions=(1,), seeds=(0,)),
        "parities": fields_runs.run_parities(4, n_step=2),
        "tails": fields_runs.run_tails("cut-off", sizes=(40,), repeats=1),
    }
    for name, rows in made.items():
        assert tuple(rows[0]) == fields_runs.recorded(name).dtype.names


def test_every_dimension_size_and_seed_is_shipped():
    table = fields_runs.recorded("students")
    sizes = {"parameters": map(n_parameters, fields_runs.WIDTHS), "samples": fields_runs.SAMPLES}
    for grown, column in (("parameters", "n_params"), ("samples", "n_sample")):
        rows = table[table["grown"] == grown]
        found = {(r["dimension"], r["seed"], r[column]) for r in rows}
        expected = {
            (d, s, n) for n in sizes[grown] for d in fields_runs.DIMENSIONS for s in fields_runs.SEEDS
        }
        assert found == expected
    tails = fields_runs.recorded("tails")
    assert len(tails) == len(fields_runs.KINDS) * len(fields_runs.TAIL_SIZES) * fields_runs.REPEATS
    assert set(np.unique(fields_runs.recorded("parities")["width"])) == set(fields_runs.PARITY_WIDTHS)


def test_the_record_says_how_to_make_them_again():
    assert fields_runs.record()["command"] == "python -m scaling_transformers.frontiers.fields_runs"
