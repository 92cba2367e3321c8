import json

import numpy as np

from scaling_transformers.training import Corpus
from scaling_transformers.training.record import read_record, read_runs, shipped, write_runs


def test_what_was_written_is_read(tmp_path):
    table = np.empty(2, dtype=[("name", "U9"), ("seed", "i8"), ("loss", "f8")])
    table["name"], table["seed"], table["loss"] = ["a design", "another"], [0, 1], [1.2345678, 2e-7]
    corpus = Corpus(np.zeros(3, np.uint8), np.zeros(2, np.uint8), "three bytes", "abc")
    write_runs(tmp_path / "new", table, command="make it", corpus=corpus, n_step=7)
    found = read_runs(tmp_path / "new")
    assert found.dtype.names == ("name", "seed", "loss")
    assert found["name"].tolist() == ["a design", "another"]
    assert found["seed"].tolist() == [0, 1]
    np.testing.assert_allclose(found["loss"], table["loss"], rtol=5e-6)
    record = read_record(tmp_path / "new")
    assert (record["command"], record["corpus"], record["n_step"]) == ("make it", "three bytes", 7)


def test_every_shipped_table_says_how_it_was_made():
    for name in ("ablation", "sharing"):
        record = json.loads((shipped(name) / "record.json").read_text("utf-8"))
        assert record["command"].startswith("python -m scaling_transformers.")
        assert {"date", "machine", "python", "torch", "corpus_sha256"} <= set(record)
