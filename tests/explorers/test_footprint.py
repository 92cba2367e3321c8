"""What the explorer of footprints promises: each frame is what FLOPs, a data sheet and a grid give."""

import itertools
import json

import pytest

from scaling_transformers.explorers import footprint_explorer
from scaling_transformers.explorers.footprint import PLACES, PUES, QUERIES, RUNS, UTILISATIONS

SETTINGS = list(itertools.product(RUNS, PLACES, UTILISATIONS, PUES, QUERIES))
US, EU = 10_791, 3600  # kWh a household and year


@pytest.fixture(scope="module")
def made():
    return footprint_explorer()


def frame_at(made, *setting):
    return made.frames[SETTINGS.index(setting)]


def test_it_has_a_frame_for_every_setting_and_is_light_enough_for_a_page(made):
    assert len(made.frames) == len(SETTINGS) <= 400
    assert len(json.dumps(made.get_state(), default=str)) < 200_000


@pytest.mark.parametrize(("utilisation", "pue"), [(0.2, 1.1), (0.4, 1.6), (0.6, 1.1)])
def test_training_llama_takes_what_its_flops_and_the_data_sheet_say(made, utilisation, pue):
    frame = frame_at(made, "Llama 2 7B", "United States", utilisation, pue, 0.0)
    kwh = 6 * 7e9 * 2e12 / (312e12 * utilisation) * 400 / 3.6e6 * pue
    assert frame["megawatthours"] == pytest.approx([kwh / 1000], rel=1e-3)
    assert frame["households"] == pytest.approx([kwh / US], rel=1e-3)
    assert frame["tonnes"][0] > kwh * 369.5 / 1e6  # of the electricity; the machines come on top
    assert f"or {kwh / EU:,.3g} in the EU" in frame["summary"]


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s[-1]][::7])
def test_a_life_is_training_and_use(made, setting):
    frame = frame_at(made, *setting)
    for name in ("households", "megawatthours", "tonnes"):
        training, use, life = frame[name]
        assert life == pytest.approx(training + use, rel=1e-3)


@pytest.mark.parametrize("run", RUNS)
def test_a_thousand_times_the_queries_take_a_thousand_times_the_energy(made, run):
    use = [frame_at(made, run, "India", 0.4, 1.1, queries)["megawatthours"][1] for queries in QUERIES[1:]]
    assert use[1] / use[0] == pytest.approx(1000, rel=1e-3) == use[2] / use[1]


@pytest.mark.parametrize("run", RUNS)
def test_the_grid_moves_carbon_and_not_energy(made, run):
    clean, dirty = (frame_at(made, run, place, 0.4, 1.1, 0.0) for place in ("Sweden", "India"))
    assert clean["megawatthours"] == dirty["megawatthours"]
    assert clean["tonnes"][0] < dirty["tonnes"][0] / 5


@pytest.mark.parametrize("setting", SETTINGS[::5])
def test_the_sentence_says_whether_several_households_live_on_as_much(made, setting):
    frame = frame_at(made, *setting)
    several = 3 <= frame["households"][-1] < 10
    assert frame["summary"].endswith(": yes.") is several
    assert frame["summary"].startswith(f"{setting[0]} on ")
    assert f" in {setting[1]}, " in frame["summary"]


def test_every_control_moves_the_verdict_or_the_carbon(made):
    """From one setting, each control alone changes what the page says."""
    start = ["Llama 2 7B", "United States", 0.4, 1.1, 0.0]
    others = ["GPT-3 175B", "Sweden", 0.2, 1.6, 1e9]
    answers = [frame_at(made, *start)["summary"].rsplit(": ", 1)[1]]
    for place, other in enumerate(others):
        changed = frame_at(made, *start[:place], other, *start[place + 1 :])
        if place == 1:
            assert changed["tonnes"] != frame_at(made, *start)["tonnes"]
        else:
            answers.append(changed["summary"].rsplit(": ", 1)[1])
    assert [answer == "yes." for answer in answers] == [True, False, False, False, False]


def test_every_value_stands_within_the_scale_of_the_picture(made):
    assert all(1e-4 <= n <= 1e6 for frame in made.frames for n in frame["households"])
