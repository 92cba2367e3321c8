"""What a measurement promises: silent, offline, no file left, and honest about what it could not read."""

import logging
import socket
import subprocess
import sys
import time
import types

import pytest

from scaling_transformers.footprint import MeasuredEnergy, measured_energy
from scaling_transformers.footprint.measure import _fill

codecarbon = pytest.importorskip("codecarbon")


def test_a_block_is_measured_in_silence_with_no_network_and_no_file(monkeypatch, tmp_path, capfd):
    def refuse(*args, **kwargs):
        raise AssertionError("a network call")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("CODECARBON_OUTPUT_METHODS", "csv")
    monkeypatch.setenv("CODECARBON_PUE", "3")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("codecarbon")
    before = logger.disabled, logger.level, list(logger.handlers)
    with measured_energy(interval_seconds=0.1) as energy:
        assert energy.joules == {}
        end = time.perf_counter() + 0.3
        while time.perf_counter() < end:
            sum(range(1000))
    assert (logger.disabled, logger.level, list(logger.handlers)) == before
    assert 0.3 <= energy.seconds < 30
    assert set(energy.joules) == set(energy.read) == {"cpu", "gpu", "memory"}
    assert energy.joules["cpu"] > 0
    assert energy.joules["memory"] > 0
    assert energy.total_joules == pytest.approx(sum(energy.joules.values()))
    assert energy.energy_kwh == pytest.approx(energy.total_joules / 3.6e6)
    assert energy.joules["memory"] / energy.seconds < 200  # watts; neither a PUE of 3 nor a slip of units
    assert all(sentence.endswith(".") for sentence in energy.statements)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_an_exception_of_the_block_passes_and_the_energy_until_then_is_there():
    records = []

    def fail():
        with measured_energy(interval_seconds=0.1) as energy:
            records.append(energy)
            time.sleep(0.1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert records[0].seconds >= 0.1
    assert records[0].joules


@pytest.mark.parametrize("interval", [0, -1, None])
def test_the_interval_must_be_positive(interval):
    with pytest.raises(ValueError, match="interval_seconds must"), measured_energy(interval_seconds=interval):
        pass


def test_importing_the_package_does_not_load_codecarbon():
    code = "import scaling_transformers.footprint, sys; assert 'codecarbon' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def tracker(*parts, gpu_count=0, **data):
    values = {
        "cpu_energy": 1e-6,
        "gpu_energy": 0.0,
        "ram_energy": 2e-6,
        "ram_power": 20.0,
        "ram_total_size": 64.0,
    }
    return types.SimpleNamespace(
        final_emissions_data=types.SimpleNamespace(**(values | data), gpu_count=gpu_count),
        _hardware=parts,
    )


def processor(mode, tdp=100.0):
    return type("CPU", (), {"_mode": mode, "_model": "Processor X", "_tdp": tdp})()


def filled(of, *, seconds=1.0):
    record = MeasuredEnergy(seconds=seconds)
    _fill(record, of)
    return record


def test_a_processor_and_a_gpu_that_were_read_need_no_excuse():
    record = filled(tracker(processor("intel_rapl"), gpu_count=1, gpu_energy=1e-3))
    assert record.read == {"cpu": True, "gpu": True, "memory": False}
    assert record.joules == pytest.approx({"cpu": 3.6, "gpu": 3600.0, "memory": 7.2})
    assert [sentence.split()[0] for sentence in record.statements] == ["Memory", "The"]


def test_a_processor_that_was_not_read_is_said_to_be_guessed_and_from_what():
    record = filled(tracker(processor("cpu_load")))
    assert not record.read["cpu"]
    assert "could not be read" in record.statements[0]
    assert "100 W, which codecarbon guessed for the Processor X" in record.statements[0]
    assert any("No GPU was found" in sentence for sentence in record.statements)
    assert any("20.0 W for its 64 GB" in sentence for sentence in record.statements)


def test_a_power_that_is_not_known_and_a_processor_that_is_not_there_are_said():
    assert "a power that codecarbon guessed" in filled(tracker(processor("cpu_load", tdp=None))).statements[0]
    assert "nothing was assumed" in filled(tracker()).statements[0]


def test_a_block_too_short_to_be_seen_is_said():
    assert any("less than the 0.05 s" in s for s in filled(tracker(), seconds=0.01).statements)


def test_a_tracker_that_failed_leaves_no_numbers():
    record = filled(types.SimpleNamespace())
    assert record.joules == {}
    assert record.statements == ("codecarbon could not be set up here: nothing was measured.",)
