import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Thread
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers._workers import in_processes, run_one
from scaling_transformers.training import sweeps
from scaling_transformers.training.results import extended, read_table, sole_writer, write_table
from scaling_transformers.training.sweeps import (
    SweepFailed,
    load_results,
    main,
    read_sweep,
    run_key,
    run_sweep,
)


def toy(log: Path):
    """Doubles x, writes down each start, and does what the settings ask for.

    A closure is pickled whole, if it names nothing of this module: the processes need not import the tests.
    """

    def execute(settings):
        x, wish = settings["x"], settings.get("do")
        with log.open("a") as file:
            file.write(f"{x} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')}\n")
        first = sum(line.startswith(f"{x} ") for line in log.read_text().splitlines()) == 1
        if wish == "raise":
            raise ZeroDivisionError(f"x is {x}")
        if wish == "die" or (wish == "die once" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if wish == "wait once" and first:
            time.sleep(60)
        if wish == "be alone":
            log.with_suffix(".alone").touch(exist_ok=False)
            time.sleep(0.01)
            log.with_suffix(".alone").unlink()
        return {"double": 2.0 * x, **({"name": "odd"} if x % 2 else {})}

    return execute


def started(log: Path) -> list[float]:
    return sorted(float(line.split()[0]) for line in log.read_text().splitlines()) if log.exists() else []


def kill_the_process_of_1(log: Path) -> None:
    until(lambda: 1 in started(log))
    line = next(line for line in log.read_text().splitlines() if line.startswith("1 "))
    with suppress(ProcessLookupError):  # gone with its pool, where another process has died meanwhile
        os.kill(int(line.split()[1]), signal.SIGKILL)


def until(condition, *, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def quick(tmp_path, log, monkeypatch):
    """``run_sweep`` in this process: a test of what is done and kept needs no pool."""
    monkeypatch.setattr(
        sweeps,
        "in_processes",
        lambda execute, runs, *, workers: (run_one(execute, key, one) for key, one in runs.items()),
    )

    def run(xs, *, execute=None, path=tmp_path / "r.parquet", **shared):
        runs = [x if isinstance(x, dict) else {"x": x, **shared} for x in xs]
        return run_sweep(runs, execute=execute or toy(log), path=path, progress=False)

    return run


def declared(tmp_path, text):
    path = tmp_path / "sweep.toml"
    path.write_text(textwrap.dedent(text))
    return read_sweep(path)


# declaring


def test_a_grid_crosses_its_lists_and_keeps_the_order(tmp_path):
    runs = declared(
        tmp_path,
        """
        [defaults]
        corpus = "zipf"
        rate = 0.1
        [[grid]]
        width = [8, 16]
        rate = 0.2
        seed = [0, 1, 2]
        [[grid]]
        width = 8
        rate = 0.2
        seed = [2, 3]
        """,
    )
    expected = [(w, s) for w in (8, 16) for s in (0, 1, 2)] + [(8, 3)]
    assert [(run["width"], run["seed"]) for run in runs] == expected
    assert all(run["corpus"] == "zipf" and run["rate"] == 0.2 for run in runs)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[grids]\na = 1", "grids"),
        ("[[grid]]\na = []", r"\['a'\]"),
        ("[[grid]]\na = {b = 1}", "a = "),
        ("[[grid]]\na = [[1, 2]]", r"a = \[1, 2\]"),
        ("[[grid]]\na = 2020-01-01", "a = "),
        ("[[grid]]\na = nan", "a = nan"),
        ("[[grid]]\nkey = 1", "'key'"),
        ("[defaults]\na = [1]\n[[grid]]", "defaults"),
        ("[defaults]\na = 1", "no .*grid"),
        ("[grid]\na = 1", "table"),
        ("defaults = 1\n[[grid]]", "table"),
        ("a = = 1", "TOML"),
    ],
)
def test_what_is_no_sweep_is_refused(tmp_path, text, match):
    with pytest.raises(ValueError, match=match):
        declared(tmp_path, text)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
NAMES = st.text(min_size=1).filter(lambda name: name not in ("key", "seconds"))


@given(st.dictionaries(NAMES, SCALARS), st.randoms())
def test_the_key_knows_values_and_not_their_order(values, random):
    items = list(values.items())
    random.shuffle(items)
    assert run_key(dict(items)) == run_key(values)
    assert len(run_key(values)) == 16
    assert run_key({**values, "one more": 0}) != run_key(values)


def test_the_key_is_the_hash_of_canonical_json():
    text = r'{"a":1,"b":"\u00e9","c":0.5}'
    assert run_key({"c": 0.5, "b": "é", "a": 1.0}) == sha256(text.encode()).hexdigest()[:16]
    keys = {run_key(one) for one in ({"a": 1}, {"a": True}, {"a": "1"}, {"a": None}, {}, {"a": 0})}
    assert len(keys) == 6


# what is done, what is kept


def test_only_what_is_missing_is_done(quick, log, tmp_path):
    first = quick([1, 2, 2])
    assert first["x"].tolist() == [1, 2]
    assert started(log) == [1, 2]
    second = quick([3, 2, 1])
    assert started(log) == [1, 2, 3]
    assert second["x"].tolist() == [3, 2, 1]
    assert second["double"].tolist() == [6, 4, 2]
    assert second["key"].tolist() == [run_key({"x": x}) for x in (3, 2, 1)]
    assert (second["seconds"] >= 0).all()
    assert load_results(tmp_path / "r.parquet")["x"].tolist() == [1, 2, 3]


def test_a_run_that_fails_is_named_and_tried_again(quick, log, tmp_path, capsys):
    runs = [{"x": x, "do": "raise" if x == 2 else "nothing"} for x in (1, 2, 3)]
    with pytest.raises(SweepFailed, match=r"1 of 3 .*\n.*'x': 2.*ZeroDivisionError\('x is 2'\)") as failed:
        quick(runs)
    assert list(failed.value.failures) == [run_key(runs[1])]
    assert "in execute" in capsys.readouterr().err  # the traceback, at once
    assert load_results(tmp_path / "r.parquet")["x"].tolist() == [1, 3]
    with pytest.raises(SweepFailed):
        quick(runs)
    assert started(log) == [1, 2, 2, 3]


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({"loss": float("nan")}, "finite"),
        ({"loss": [1.0]}, r"loss = \[1.0\]"),
        ({"loss": lambda: 1.0}, "loss = <function"),
        (None, "mapping"),
        ({"x": 5}, r"changed \['x'\]"),
        ({"seconds": 1.0}, "'seconds'"),
        ({"loss": "low"}, "'loss' must be of one kind"),
    ],
)
def test_a_result_that_no_table_holds_fails_its_run_only(quick, row, match):
    with pytest.raises(SweepFailed, match=match):
        quick([1, 2, 3], execute=lambda one: row if one["x"] == 2 else {"loss": 0.5})
    assert quick([1, 3])["loss"].tolist() == [0.5, 0.5]


def test_scalars_of_numpy_are_stored_as_numbers(quick):
    table = quick([1], execute=lambda one: {"loss": np.float32(0.5), "n": np.int64(3), "x": 1})
    assert (table["loss"].item(), table["n"].item(), table["x"].item()) == (0.5, 3, 1)


def test_new_columns_leave_old_rows_without(quick, tmp_path):
    quick([1, 2])
    quick([4], width=8, rate=0.5, causal=True, note="new")
    table = load_results(tmp_path / "r.parquet")
    assert table.dtype.names[0] == "key"
    assert table.dtype.names[-1] == "seconds"
    np.testing.assert_array_equal(table["width"], [np.nan, np.nan, 8])
    np.testing.assert_array_equal(table["causal"], [np.nan, np.nan, 1])
    assert table["note"].tolist() == ["", "", "new"]
    assert table["name"].tolist() == ["odd", "", ""]


def test_whole_numbers_may_become_floats_but_nothing_else_changes_its_kind(quick, log, tmp_path):
    quick([1])
    assert quick([1.0, 2.5])["x"].tolist() == [1.0, 2.5]
    assert started(log) == [1, 2.5]
    for bad in ("one", True):
        with pytest.raises(ValueError, match="'x' must be of one kind"):
            quick([bad])
    assert len(load_results(tmp_path / "r.parquet")) == 2


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"i": st.integers(-(2**53), 2**53)},
            optional={
                "f": st.floats(allow_nan=False, allow_infinity=False),
                "b": st.booleans(),
                "s": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            },
        ),
        min_size=1,
        max_size=5,
        unique_by=run_key,
    )
)
def test_settings_come_back_as_they_went(tmp_path_factory, runs):
    path = tmp_path_factory.mktemp("round") / "r.parquet"
    table = read_table(path)
    for one in runs:
        table = extended(table, [{"key": run_key(one), **one, "seconds": 0.0}])
        write_table(table, path)
    stored = read_table(path).to_pylist()
    kept = [{name: value for name, value in row.items() if value is not None} for row in stored]
    assert kept == [{"key": run_key(one), **one, "seconds": 0.0} for one in runs]
    array = load_results(path)
    for name, default in (("i", None), ("f", np.nan), ("b", np.nan), ("s", "")):
        if name in array.dtype.names:
            np.testing.assert_array_equal(array[name], np.array([one.get(name, default) for one in runs]))


@pytest.mark.parametrize("content", ["nonsense", "", "foreign", "nested", "twice", "cut"])
def test_a_file_that_no_sweep_wrote_is_left_alone(quick, log, tmp_path, content):
    path = tmp_path / "other.parquet"
    tables = {
        "foreign": {"a": [1]},
        "nested": {"key": ["a"], "seconds": [1.0], "more": [[1, 2]]},
        "twice": {"key": ["a", "a"], "seconds": [1.0, 2.0]},
        "cut": {"key": ["a"], "seconds": [1.0]},
    }
    if content in tables:
        pq.write_table(pa.table(tables[content]), path)
        if content == "cut":
            path.write_bytes(path.read_bytes()[:-20])
    else:
        path.write_text(content)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"path must .*other\.parquet"):
        quick([1], path=path)
    assert path.read_bytes() == before
    assert not log.exists()


def test_bad_arguments_are_named(quick, tmp_path):
    with pytest.raises(ValueError, match="settings"):
        quick([])
    with pytest.raises(ValueError, match="workers"):
        run_sweep([{"x": 1}], execute=dict, path=tmp_path / "r", workers=0)
    with pytest.raises(FileNotFoundError, match="none"):
        load_results(tmp_path / "none")


def test_of_two_sweeps_on_a_file_the_second_is_refused(quick, log, tmp_path):
    quick([1])
    with sole_writer(tmp_path / "r.parquet"), pytest.raises(RuntimeError, match="another sweep"):
        quick([2])
    assert started(log) == [1]
    assert quick([2])["x"].tolist() == [2]


# processes


def test_runs_are_spread_over_processes_of_one_thread(tmp_path, log):
    runs = [{"x": x} for x in range(6)]
    table = run_sweep(runs, execute=toy(log), path=tmp_path / "r.parquet", workers=2, progress=False)
    assert table["double"].tolist() == [0, 2, 4, 6, 8, 10]
    lines = [line.split() for line in log.read_text().splitlines()]
    assert len({process for _, process, _ in lines} - {str(os.getpid())}) in (1, 2)
    assert {threads for _, _, threads in lines} == {"1"}


SCRIPT = """
import os, sys, time
from pathlib import Path
from scaling_transformers.training.sweeps import run_sweep

def execute(settings):
    Path(f"{settings['x']}.{os.getpid()}").touch()
    if settings["x"] >= 3:
        time.sleep(60)
    return {"double": 2 * settings["x"]}

if __name__ == "__main__":
    run_sweep([{"x": x} for x in range(6)], execute=execute, path="r.parquet", workers=2)
"""


def test_a_killed_sweep_keeps_what_was_done_and_its_processes_end(quick, log, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    path = tmp_path / "r.parquet"
    with subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, stderr=subprocess.DEVNULL) as sweep:
        until(lambda: list(tmp_path.glob("3.*")) and list(tmp_path.glob("4.*")))
        until(lambda: path.exists() and len(load_results(path)) == 3)
        with pytest.raises(RuntimeError, match="another sweep"):
            quick([9])
        sweep.kill()
    assert sorted(load_results(path)["x"].tolist()) == [0, 1, 2]
    until(lambda: not any(running(int(name.suffix[1:])) for name in tmp_path.glob("[34].*")))
    assert quick(range(6))["double"].tolist() == [0, 2, 4, 6, 8, 10]
    assert started(log) == [3, 4, 5]


def running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_a_run_whose_process_is_killed_is_done_again_and_one_that_kills_its_process_fails(tmp_path, log):
    runs = [{"x": x, "do": {1: "wait once", 3: "die"}.get(x, "nothing")} for x in range(6)]

    killer = Thread(target=kill_the_process_of_1, args=[log])
    killer.start()
    with pytest.raises(SweepFailed, match=r"(?s)1 of 6.*'x': 3.*process died twice, alone in its pool"):
        run_sweep(runs, execute=toy(log), path=tmp_path / "r.parquet", workers=2, progress=False)
    killer.join()
    assert sorted(load_results(tmp_path / "r.parquet")["x"].tolist()) == [0, 1, 2, 4, 5]
    assert started(log).count(1) == 2
    assert started(log).count(3) in (1, 2, 3)  # fewer, where a pool broke before its turn came


def test_a_single_worker_does_one_run_at_a_time_and_survives_the_death_of_one(log):
    runs = {str(x): {"x": x, "do": "die once" if x == 2 else "be alone"} for x in range(5)}
    outcomes = list(in_processes(toy(log), runs, workers=1))
    assert [outcome.row["double"] for outcome in outcomes] == [0, 2, 4, 6, 8]
    assert started(log) == [0, 1, 2, 2, 3, 4]
    assert str(os.getpid()) not in log.read_text().split()


def test_whoever_stops_listening_stops_the_processes(log):
    runs = {str(x): {"x": x, "do": "wait once" if x else "nothing"} for x in range(5)}
    outcomes = in_processes(toy(log), runs, workers=2)
    assert next(outcomes).row == {"double": 0}
    until(lambda: started(log) == [0, 1, 2])
    outcomes.close()
    processes = [int(line.split()[1]) for line in log.read_text().splitlines()]
    until(lambda: not any(running(process) for process in processes))
    assert started(log) == [0, 1, 2]


# a cluster


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


def test_a_cluster_does_the_runs_of_a_killed_worker_again(tmp_path, log, cluster):
    runs = [{"x": x, "do": {1: "wait once", 3: "raise"}.get(x, "nothing")} for x in range(6)]

    killer = Thread(target=kill_the_process_of_1, args=[log])
    killer.start()
    options = {"execute": toy(log), "path": tmp_path / "r.parquet", "progress": False}
    with pytest.raises(SweepFailed, match=r"1 of 6.*\n.*'x': 3.*ZeroDivisionError"):
        run_sweep(runs, scheduler=cluster.scheduler_address, **options)
    killer.join()
    table = load_results(tmp_path / "r.parquet")
    assert sorted(table["x"].tolist()) == [0, 1, 2, 4, 5]
    assert sorted(table["double"].tolist()) == [0, 2, 4, 8, 10]
    assert started(log).count(1) == 2


# the command


def test_the_command_counts_runs_and_continues(tmp_path, quick, log, monkeypatch, capsys):
    module = ModuleType("scaling_transformers.training.runs")
    module.train_run = toy(log)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    sweep, path = tmp_path / "sweep.toml", tmp_path / "new" / "r.parquet"
    sweep.write_text("[[grid]]\nx = [1, 2, 3]\n")
    quick([2], path=path)
    main([str(sweep), "--results", str(path), "--count"])
    assert capsys.readouterr().out == "2 of 3 runs are missing\n"
    main([str(sweep), "--results", str(path), "--workers", "1"])
    assert load_results(path)["double"].tolist() == [4, 2, 6]
    assert started(log) == [1, 2, 3]
    assert "3/3" in capsys.readouterr().err
