"""What an explorer promises: every picture is the package's own answer."""

import itertools
import json

import numpy as np
import pytest

from scaling_transformers.explorers import Control, Explorer, attention_explorer
from scaling_transformers.explorers.attention import KEYS, TEMPERATURES


def square(*, x, name="a", power=2):
    return {"value": x**power, "name": name, "summary": f"{name}: {x**power}"}


def explorer(compute=square, controls=(), **kwargs):
    controls = controls or [
        Control("x", "Number", [1.0, 2.0, 4.0], initial=2.0),
        Control("name", "Name", ["a", "b"]),
    ]
    return Explorer(title="Squares", controls=controls, compute=compute, view="attention", **kwargs)


@pytest.fixture(scope="module")
def attention():
    return attention_explorer()


def test_every_frame_is_the_function_at_its_setting():
    frames = explorer().frames
    settings = itertools.product([1.0, 2.0, 4.0], ["a", "b"])
    assert [(f["value"], f["name"]) for f in frames] == [(x**2, name) for x, name in settings]


def test_it_starts_at_the_initial_values():
    assert explorer().state == {"x": 1, "name": 0}


def test_numbers_travel_with_four_significant_digits_as_plain_lists():
    made = explorer(lambda **_: {"a": np.array([1 / 3, 2e-9 / 3]), "n": np.int64(3), "summary": "thirds"})
    assert made.frames[0] == {"a": [0.3333, 6.667e-10], "n": 3, "summary": "thirds"}
    assert json.loads(json.dumps(made.frames)) == made.frames


def test_a_grid_too_large_is_refused():
    controls = [Control("x", "x", range(100)), Control("power", "power", range(41))]
    with pytest.raises(ValueError, match="at most 4,000 settings; got 4,100"):
        explorer(controls=controls)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), [1.0, float("nan")], np.array([np.inf])])
def test_an_answer_that_is_not_finite_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=r"x=1\.0, name='a'.*'value'.* must be finite"):
        explorer(lambda **_: {"value": bad, "summary": "bad"})


def test_an_answer_that_cannot_travel_is_refused():
    with pytest.raises(ValueError, match=r"must be a number, a string.*got set"):
        explorer(lambda **_: {"value": {1}, "summary": "bad"})


@pytest.mark.parametrize("answer", [{"value": 1}, {"summary": " "}, {"summary": 3}])
def test_an_answer_without_a_sentence_is_refused(answer):
    with pytest.raises(ValueError, match="must answer a sentence under 'summary'"):
        explorer(lambda **_: answer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": [1.0]}, "two or more"),
        ({"values": [2.0, 1.0]}, "rising"),
        ({"values": ["a", "a"]}, "different"),
        ({"values": [1.0, "a"]}, "all finite numbers or all names"),
        ({"values": [0.0, float("nan")]}, "all finite numbers"),
        ({"values": [1.0, 2.0], "initial": 3.0}, "initial of control 'x' must be one of"),
        ({"values": [1.0, 2.0], "name": "not a name"}, "name must be a Python name"),
        ({"values": [1.0, 2.0], "label": ""}, "label of control 'x' must not be empty"),
    ],
)
def test_a_bad_control_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Control(**{"name": "x", "label": "Number", **arguments})


def test_two_controls_of_one_name_are_refused():
    with pytest.raises(ValueError, match="different names"):
        explorer(controls=[Control("x", "x", [1, 2]), Control("x", "x", [1, 2])])


def test_values_are_read_with_their_unit():
    control = Control("x", "Angle", [0.05, 1000.0], unit="°")
    assert [control.text(value) for value in control.values] == ["0.05°", "1,000°"]


def test_a_panel_recomputes_between_the_settings():
    made = explorer()
    number, name, picture = made.panel().children
    assert picture is made
    number.value, name.value = 3.0, "b"
    assert made.frame == made.evaluate(x=3.0, name="b")
    assert made.frame["value"] == 9


def test_a_panel_keeps_whole_numbers_whole():
    controls = [Control("x", "Layers", [2, 4, 8])]
    number, made = explorer(controls=controls).panel().children
    number.value = 5
    assert made.frame == {"value": 25, "name": "a", "summary": "a: 25"}


def test_a_panel_spans_the_values_with_a_logarithmic_slider_over_decades(attention):
    direction, temperature, _ = attention_explorer().panel().children
    assert (direction.min, direction.max, direction.value) == (0, 350, 30)
    assert (10**temperature.min, 10**temperature.max) == pytest.approx((TEMPERATURES[0], TEMPERATURES[-1]))
    assert temperature.value == pytest.approx(0.3)


def test_without_scripts_the_page_still_shows_the_figure(attention):
    html = attention._repr_mimebundle_()[0]["text/html"]
    assert attention.model_id in html
    assert "river gets most, 0.47" in html
    assert html.count("<svg") == 2


def test_the_figure_without_scripts_stands_at_the_values_that_it_has():
    made = attention_explorer()
    made.state = {"direction": 10, "temperature": 0}
    assert made.frames[10 * len(TEMPERATURES)]["summary"] in made.still()


@pytest.mark.parametrize(("value", "word"), [("a b", "a b"), (0.05, "0.05"), (1000, "1000"), (3e26, "3e26")])
def test_a_value_has_a_word_for_addresses(value, word):
    values = [value, "c"] if isinstance(value, str) else [value, 2 * value]
    assert Control("x", "x", values).word(value) == word


def test_the_script_is_one_module_with_the_books_colours(attention):
    assert attention._esm.count("export default") == 1
    assert "var(--book-blue,#0072b2)" in attention._esm
    assert "data-theme=dark" in attention._css


def softmax_by_hand(direction, temperature):
    """Weights by complex numbers and the textbook formula, apart from the package."""
    keys = np.array([length * np.exp(1j * np.deg2rad(angle)) for angle, length in KEYS.values()])
    scores = (keys * np.exp(-1j * np.deg2rad(direction))).real / temperature
    weights = np.exp(scores) / np.exp(scores).sum()
    return weights, (weights * keys).sum()


@pytest.mark.parametrize(("direction", "temperature"), [*itertools.product((0, 90, 250), (0.05, 1.0, 10.0))])
def test_attention_frames_are_the_softmax_of_the_scores(attention, direction, temperature):
    frame = attention.frames[direction // 10 * len(TEMPERATURES) + TEMPERATURES.index(temperature)]
    weights, output = softmax_by_hand(direction, temperature)
    np.testing.assert_allclose(frame["weights"], weights, rtol=1e-3, atol=1e-300)
    np.testing.assert_allclose(frame["output"], [output.real, output.imag], rtol=1e-3, atol=1e-6)
    assert frame["entropy"] == pytest.approx(-(weights * np.log(weights)).sum(), rel=1e-3, abs=1e-4)
    assert frame["effective"] == pytest.approx(np.exp(frame["entropy"]), rel=2e-3)


def test_heat_spreads_attention_over_all_keys(attention):
    effective = np.array([frame["effective"] for frame in attention.frames]).reshape(-1, len(TEMPERATURES))
    assert (np.diff(effective, axis=1) > -1e-3).all()
    assert effective[:, -1].min() > 0.99 * len(KEYS)


def test_the_attention_explorer_is_light_enough_for_a_page(attention):
    assert len(json.dumps(attention.get_state(), default=str)) < 150_000
