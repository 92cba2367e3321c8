"""Model cards and datasheets from a run's own records; what those do not hold is said to be not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from scaling_transformers._names import unknown_name
from scaling_transformers.config import TransformerConfig

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

# What each line of a card says, and where it is looked up: an entry of the record or of the run, or a fact
# that only its author can state. The sections and prompts follow the papers, in our words.
_MODEL_CARD: dict[str, dict[str, str]] = {
    "Model Details": {
        "Developed by": "facts.developer",
        "Trained": "run.started",
        "Record written": "record.date",
        "Version of the code": "record.code",
        "Type": "config.type",
        "Parameters": "run.n_params",
        "Parameters outside the embeddings": "run.n_params_non_embedding",
        "Command": "record.command",
        "Texts a step": "run.batch",
        "Steps": "run.n_step",
        "Learning rate": "run.learning_rate",
        "Seed": "run.seed",
        "Version of Python": "record.python",
        "Version of torch": "record.torch",
        "More information": "facts.paper",
        "Citation": "facts.citation",
        "License": "facts.license",
        "Questions to": "facts.contact",
    },
    "Intended Use": {
        "Primary uses": "facts.intended_use",
        "Primary users": "facts.intended_users",
        "Out of scope": "facts.out_of_scope",
    },
    "Factors": {
        "Relevant factors": "facts.relevant_factors",
        "Factors evaluated": "facts.evaluation_factors",
    },
    "Metrics": {
        "Measures": "results.metrics",
        "Thresholds of decisions": "facts.decision_thresholds",
        "How variation is estimated": "facts.variation",
    },
    "Evaluation Data": {
        "Datasets": "results.datasets",
        "Why these": "facts.evaluation_motivation",
        "Preprocessing": "facts.evaluation_preprocessing",
    },
    "Training Data": {
        "Dataset": "record.corpus",
        "SHA-256 of the dataset": "record.corpus_sha256",
        "Tokens read": "run.n_tokens",
        "Different tokens, at most": "run.n_unique_tokens",
        "Why this": "facts.training_motivation",
        "Preprocessing": "facts.training_preprocessing",
    },
    "Quantitative Analyses": {
        "Overall": "results.overall",
        "By group (unitary)": "results.groups",
        "By groups crossed (intersectional)": "results.crossed",
    },
    "Ethical Considerations": {
        "Sensitive data": "facts.sensitive_data",
        "Human life and safety": "facts.human_life",
        "Mitigations": "facts.mitigations",
        "Risks and harms": "facts.risks",
        "Fraught uses": "facts.fraught_uses",
        "Machine": "record.machine",
        "FLOPs of training": "run.flops",
        "Seconds of processor time": "run.cpu_seconds",
        "Energy": "record.energy",
        "Carbon": "record.carbon",
    },
    "Caveats and Recommendations": {"Caveats": "facts.caveats"},
}

_DATASHEET: dict[str, dict[str, str]] = {
    "Motivation": {
        "For what purpose was it made?": "facts.purpose",
        "Who made it, and for whom?": "facts.creators",
        "Who paid for it?": "facts.funding",
    },
    "Composition": {
        "What is it?": "record.corpus",
        "What does an instance stand for?": "facts.instances",
        "How much is there to train on, in bytes?": "record.train_bytes",
        "How much is kept for validation, in bytes?": "record.validation_bytes",
        "Which version exactly? (SHA-256)": "record.corpus_sha256",
        "Is it a sample of something larger?": "facts.sample",
        "Are there labels?": "facts.labels",
        "What errors, noise or copies does it have?": "facts.errors",
        "Does it hold confidential or offensive matter?": "facts.offensive",
        "Does it concern people, and which groups?": "facts.people",
        "Could persons be identified?": "facts.identifiable",
    },
    "Collection Process": {
        "How was it acquired?": "facts.acquired",
        "Over what time?": "facts.timeframe",
        "Who collected it, and how were they paid?": "facts.collectors",
        "Was there an ethical review?": "facts.review",
        "Were the people concerned told, and did they agree?": "facts.consent",
    },
    "Preprocessing, Cleaning, Labelling": {
        "What was done to it?": "facts.preprocessing",
        "Is the raw data kept?": "facts.raw",
        "Is the software that did it available?": "record.command",
    },
    "Uses": {
        "What has it been used for?": "facts.uses",
        "What else could it be used for?": "facts.other_uses",
        "What should it not be used for?": "facts.misuse",
    },
    "Distribution": {
        "How is it distributed?": "facts.distribution",
        "Under which license?": "facts.license",
        "Do export controls or other rules apply?": "facts.regulation",
    },
    "Maintenance": {
        "Who maintains it?": "facts.maintainer",
        "Will it be updated?": "facts.updates",
        "Do older versions stay available?": "facts.older_versions",
        "Can others add to it?": "facts.contributions",
    },
}

_REASONS = {
    "record": "the record has no entry `{}`",
    "run": "the run has no entry `{}`",
    "facts": "nobody has stated `{}`",
    "results": "no result was given for it",
    "config": "no config was given",
}


@dataclass(frozen=True)
class Measurement:
    """One measured result: a ``value`` of a ``metric`` in a ``unit`` on a ``dataset``.

    ``error`` is its standard error, if known. ``group`` names the part of the data it is of, with ``" x "``
    between the groups of a crossing; None is all of the data.
    """

    metric: str
    value: float
    unit: str
    dataset: str
    error: float | None = None
    group: str | None = None

    @property
    def text(self) -> str:
        """The result in a line."""
        error = "" if self.error is None else f" ± {_text(self.error)}"
        group = "" if self.group is None else f"{self.group}: "
        return f"{group}{self.metric} {_text(self.value)}{error} {self.unit}, on {self.dataset}"


@dataclass(frozen=True)
class Line:
    """One line of a card: ``value`` is None where it is not known, and then ``reason`` says why."""

    label: str  #: What the line is about.
    value: str | None
    reason: str = ""

    @property
    def text(self) -> str:
        """The value, or that it is not known and why."""
        return f"not known ({self.reason})" if self.value is None else self.value


@dataclass(frozen=True)
class Card:
    """A model card or a datasheet: lines under the headings of ``sections``."""

    title: str  #: Its heading.
    sections: Mapping[str, tuple[Line, ...]]

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines of all sections."""
        return tuple(line for lines in self.sections.values() for line in lines)

    @property
    def known_share(self) -> float:
        """Share of the lines whose value is known."""
        return sum(line.value is not None for line in self.lines) / len(self.lines)

    @property
    def markdown(self) -> str:
        """The card as Markdown."""
        parts = [f"# {self.title}"]
        for heading, lines in self.sections.items():
            parts += ["", f"## {heading}", "", *(f"- **{line.label}**: {line.text}" for line in lines)]
        return "\n".join(parts) + "\n"


def model_card(
    name: str,
    *,
    record: Mapping[str, Any],
    run: Mapping[str, Any],
    results: Sequence[Measurement],
    config: TransformerConfig | None = None,
    facts: Mapping[str, str] | None = None,
) -> Card:
    """The model card of a run, in the nine sections of Mitchell et al., from its records.

    Parameters
    ----------
    name : str
        Of the model.
    record : mapping
        Of the runs, as ``training.record.read_record`` gives it: corpus, code, machine, ...
    run : mapping
        The row of the run in the table of runs: ``n_params``, ``n_tokens``, ``flops``, ``seed``, ...
    results : sequence of Measurement
        What was measured.
    config : TransformerConfig, optional
    facts : mapping, optional
        What no record can hold and somebody has to state, such as ``license`` or ``intended_use``; the names
        are those of ``card_facts()``.

    Returns
    -------
    Card
        Entries of the records appear as they are, numbers to six significant digits. A line without an entry
        says that it is not known. Nothing else is written.

    Raises
    ------
    ValueError
        If a fact has another name or is not a sentence.

    Source: Mitchell et al. 2019, section 4.
    """
    known: dict[str, Any] = {
        **_entries("record", record),
        **_entries("run", run),
        **_stated(facts or {}, _MODEL_CARD),
        **_summaries(results),
    }
    if config is not None:
        known["config.type"] = _describe(config)
    return _fill(f"Model card: {name}", _MODEL_CARD, known)


def datasheet(name: str, *, record: Mapping[str, Any], facts: Mapping[str, str] | None = None) -> Card:
    """The datasheet of a run's corpus, in the seven groups of questions of Gebru et al., from its record.

    Parameters and errors are those of `model_card`; the names of ``facts`` those of ``datasheet_facts()``.
    The questions are a selection of the paper's, in our words.

    Source: Gebru et al. 2021, section 3.
    """
    known = {**_entries("record", record), **_stated(facts or {}, _DATASHEET)}
    return _fill(f"Datasheet: {name}", _DATASHEET, known)


def card_facts() -> tuple[str, ...]:
    """Names of what only the author of a model card can state."""
    return _fact_names(_MODEL_CARD)


def datasheet_facts() -> tuple[str, ...]:
    """Names of what only the author of a datasheet can state."""
    return _fact_names(_DATASHEET)


def hub_card(
    card: Card,
    *,
    name: str,
    results: Sequence[Measurement] = (),
    license_id: str | None = None,
    tags: Sequence[str] = (),
) -> ModelCard:
    """A card as the Hugging Face hub reads it: YAML metadata over the Markdown. No network is used.

    Parameters
    ----------
    card : Card
    name : str
        Of the model; the hub shows the results under it.
    results : sequence of Measurement
        Go into the metadata with every digit; those of groups keep the group's name.
    license_id : str, optional
        The hub's identifier, such as ``"mit"``. Left out where it is not known.
    tags : sequence of str

    Source: ``huggingface_hub.ModelCard``.
    """
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    evaluated = [
        EvalResult(
            task_type="text-generation",
            dataset_type=result.dataset.lower().replace(" ", "-"),
            dataset_name=result.dataset,
            metric_type=result.metric,
            metric_value=result.value,
            metric_name=f"{result.metric} ({result.unit})"
            + ("" if result.group is None else f", {result.group}"),
        )
        for result in results
    ]
    data = ModelCardData(
        model_name=name,
        license=license_id,
        tags=list(tags) or None,
        pipeline_tag="text-generation",
        eval_results=evaluated or None,
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{card.markdown}")


def _fill(title: str, form: Mapping[str, Mapping[str, str]], known: Mapping[str, Any]) -> Card:
    sections = {}
    for heading, prompts in form.items():
        lines = []
        for label, place in prompts.items():
            source, key = place.split(".")
            value = known.get(place)
            reason = "" if value is not None else _REASONS[source].format(key)
            lines.append(Line(label, None if value is None else _text(value), reason))
        sections[heading] = tuple(lines)
    return Card(title, sections)


def _entries(source: str, mapping: Mapping[str, Any]) -> dict[str, Any]:
    """What a mapping says. Of a gap in a table, an empty text or NaN, it says nothing."""
    return {f"{source}.{key}": value for key, value in mapping.items() if not _is_gap(value)}


def _is_gap(value: Any) -> bool:
    return (isinstance(value, str) and not value.strip()) or (isinstance(value, Real) and value != value)


def _stated(facts: Mapping[str, str], form: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    names = _fact_names(form)
    for name, value in facts.items():
        if name not in names:
            raise unknown_name(name, names, what="a fact of the card")
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"facts must be sentences; got {name} = {value!r}")
    return {f"facts.{name}": value for name, value in facts.items()}


def _fact_names(form: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    places = dict.fromkeys(place for prompts in form.values() for place in prompts.values())
    return tuple(place.removeprefix("facts.") for place in places if place.startswith("facts."))


def _summaries(results: Sequence[Measurement]) -> dict[str, str | None]:
    """What the results say to the card; None where none says anything."""

    def joined(texts: list[str]) -> str | None:
        return "; ".join(dict.fromkeys(texts)) or None

    groups = [result for result in results if result.group is not None]
    return {
        "results.metrics": joined([f"{result.metric} in {result.unit}" for result in results]),
        "results.datasets": joined([result.dataset for result in results]),
        "results.overall": joined([result.text for result in results if result.group is None]),
        "results.groups": joined([r.text for r in groups if " x " not in (r.group or "")]),
        "results.crossed": joined([r.text for r in groups if " x " in (r.group or "")]),
    }


def _describe(config: TransformerConfig) -> str:
    return (
        f"{config.kind} transformer, {config.n_layer} layers, width {config.d_model}, "
        f"{config.n_head} heads of {config.d_head}, feed-forward width {config.d_ff}, "
        f"vocabulary {config.vocab_size}, texts of at most {config.n_ctx} tokens, {config.position} positions"
    )


def _text(value: Any) -> str:
    """An entry as it is read: whole numbers whole, others to six significant digits."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
