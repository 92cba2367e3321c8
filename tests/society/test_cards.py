"""What a card promises: it says what the records hold, and that the rest is not known."""

import re

import numpy as np
import pytest

from scaling_transformers.config import TransformerConfig
from scaling_transformers.society import (
    Measurement,
    card_facts,
    datasheet,
    datasheet_facts,
    hub_card,
    model_card,
)
from scaling_transformers.training import runs
from scaling_transformers.training.record import read_record, shipped

# Mitchell et al. 2019, section 4; Gebru et al. 2021, section 3.
SECTIONS = [
    "Model Details", "Intended Use", "Factors", "Metrics", "Evaluation Data", "Training Data",
    "Quantitative Analyses", "Ethical Considerations", "Caveats and Recommendations",
]  # fmt: skip
GROUPS = [
    "Motivation", "Composition", "Collection Process", "Preprocessing, Cleaning, Labelling", "Uses",
    "Distribution", "Maintenance",
]  # fmt: skip
NUMBER = re.compile(r"(?<![\w.-])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w-])")


@pytest.fixture(scope="module")
def made():
    """The best of the book's runs on text, and its record."""
    table = runs.recorded("text")
    run = dict(zip(table.dtype.names, table[table["loss"].argmin()].tolist(), strict=True))
    results = [
        Measurement("loss", run["loss"], "nats per byte", "held-out text", error=run["loss_error"]),
    ]
    return {"record": runs.record(), "run": run, "results": results, "config": runs.config_of(run)}


def lines_of(card):
    return {line.label: line for line in card.lines}


def numbers_in(text):
    return [float(found.replace(",", "")) for found in NUMBER.findall(text)]


def test_a_model_card_has_the_nine_sections_of_mitchell_et_al(made):
    card = model_card("best", **made)
    assert list(card.sections) == SECTIONS
    assert re.findall(r"^## (.*)$", card.markdown, re.M) == SECTIONS


def test_a_datasheet_has_the_seven_groups_of_gebru_et_al():
    assert list(datasheet("corpus", record={}).sections) == GROUPS


def test_entries_of_the_records_appear_as_they_are(made):
    lines, record, run = lines_of(model_card("best", **made)), made["record"], made["run"]
    for label, value in {
        "Dataset": record["corpus"],
        "SHA-256 of the dataset": record["corpus_sha256"],
        "Version of the code": record["code"],
        "Energy": record["energy"],
        "Trained": run["started"],
    }.items():
        assert lines[label].text == value
    for label, key in {
        "Parameters": "n_params",
        "Tokens read": "n_tokens",
        "Steps": "n_step",
        "Seed": "seed",
    }.items():
        assert lines[label].text == f"{run[key]:,}"
    for label, key in {"FLOPs of training": "flops", "Learning rate": "learning_rate"}.items():
        assert float(lines[label].text) == pytest.approx(run[key], rel=1e-5)


def test_every_number_of_the_card_stands_in_the_records(made):
    texts = [*map(str, made["record"].values()), made["run"]["started"]]
    known = [value for text in texts for value in numbers_in(text)]
    known += [value for value in made["run"].values() if isinstance(value, int | float)]
    config = made["config"]
    known += [config.n_layer, config.d_model, config.n_head, config.d_head, config.d_ff]
    known += [config.vocab_size, config.n_ctx]
    card = model_card("best", **made)
    found = [value for line in card.lines if line.value is not None for value in numbers_in(line.value)]
    assert len(found) > 20
    strange = [value for value in found if not any(value == pytest.approx(k, rel=1e-5) for k in known)]
    assert strange == []


def test_what_no_record_holds_is_said_to_be_not_known_and_why(made):
    lines = lines_of(model_card("best", **made))
    assert lines["License"].text == "not known (nobody has stated `license`)"
    assert lines["Carbon"].text == "not known (the record has no entry `carbon`)"
    assert lines["By group (unitary)"].text == "not known (no result was given for it)"
    without = model_card("best", record={}, run={}, results=[])
    assert without.known_share == 0
    assert without.markdown.count("not known (") == len(without.lines)


@pytest.mark.parametrize("key", ["corpus", "code", "energy", "machine", "command"])
def test_an_entry_taken_out_of_the_record_is_missing_from_the_card_and_from_nowhere_filled(made, key):
    record = {name: value for name, value in made["record"].items() if name != key}
    whole = model_card("best", **made)
    less = model_card("best", **{**made, "record": record})
    changed = [b for a, b in zip(whole.lines, less.lines, strict=True) if a != b]
    assert [line.value for line in changed] == [None]
    assert f"`{key}`" in changed[0].text


@pytest.mark.parametrize("gap", [float("nan"), np.float32("nan"), "", " ", None])
def test_a_gap_in_the_table_of_runs_is_not_known(made, gap):
    run = {**made["run"], "learning_rate": gap}
    line = lines_of(model_card("best", **{**made, "run": run}))["Learning rate"]
    assert line.value is None
    assert "learning_rate" in line.reason


def test_facts_are_those_that_only_an_author_can_state(made):
    facts = {name: f"said of {name}" for name in card_facts()}
    card = model_card("best", **made, facts=facts)
    assert all(f"said of {name}" in card.markdown for name in facts)
    assert {line.label for line in card.lines if line.value is None} == {
        "Carbon", "By group (unitary)", "By groups crossed (intersectional)",
    }  # fmt: skip


def test_a_fact_cannot_put_a_number_in_place_of_a_measured_one(made):
    for name in ("n_params", "loss", "corpus"):
        with pytest.raises(ValueError, match="a fact of the card"):
            model_card("best", **made, facts={name: "better"})
    with pytest.raises(ValueError, match="did you mean 'license'"):
        model_card("best", **made, facts={"licence": "MIT"})
    with pytest.raises(ValueError, match="facts must be sentences"):
        model_card("best", **made, facts={"license": " "})


def test_results_of_groups_go_where_they_belong():
    results = [
        Measurement("accuracy", 0.9, "share", "all texts"),
        Measurement("accuracy", 0.7, "share", "all texts", group="women"),
        Measurement("accuracy", 0.6, "share", "all texts", error=0.05, group="women x old"),
    ]
    lines = lines_of(model_card("m", record={}, run={}, results=results))
    assert lines["Overall"].text == "accuracy 0.9 share, on all texts"
    assert lines["By group (unitary)"].text == "women: accuracy 0.7 share, on all texts"
    assert lines["By groups crossed (intersectional)"].text.startswith("women x old: accuracy 0.6 ± 0.05")


def test_the_hub_reads_the_card_back(made):
    from huggingface_hub import ModelCard

    card = model_card("best", **made, facts={"license": "MIT"})
    written = hub_card(card, name="best", results=made["results"], license_id="mit", tags=["bytes"])
    read = ModelCard(str(written))
    assert read.text.strip() == card.markdown.strip()
    assert (read.data.license, read.data.tags, read.data.model_name) == ("mit", ["bytes"], "best")
    (result,) = read.data.eval_results
    assert result.metric_value == made["run"]["loss"]  # every digit
    assert (result.dataset_name, result.metric_type) == ("held-out text", "loss")


def test_the_hub_is_told_no_license_that_is_not_known(made):
    written = hub_card(model_card("best", **made), name="best")
    assert written.data.license is None
    assert "license:" not in str(written).split("---")[1]
    assert written.data.eval_results is None


def test_the_record_of_the_small_models_fills_a_datasheet():
    record = read_record(shipped("small_models"))
    card = datasheet("library", record=record, facts={"license": "PSF-2.0"})
    lines = lines_of(card)
    assert lines["What is it?"].text == record["corpus"]
    assert lines["How much is there to train on, in bytes?"].text == f"{record['train_bytes']:,}"
    assert lines["Under which license?"].text == "PSF-2.0"
    assert lines["Who paid for it?"].text == "not known (nobody has stated `funding`)"
    assert set(datasheet_facts()) > {"license", "consent", "people"}


def test_the_type_is_that_of_the_config():
    config = TransformerConfig(3, 64, 4, vocab_size=100, n_ctx=32)
    card = model_card("m", record={}, run={}, results=[], config=config)
    assert lines_of(card)["Type"].text.startswith("decoder transformer, 3 layers, width 64, 4 heads of 16")
