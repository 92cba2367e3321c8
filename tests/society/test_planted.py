"""The language's probabilities are those of its text, and what is planted is what is found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.society import planted
from scaling_transformers.society.planted import (
    ATTRIBUTES,
    LENGTH,
    NAMES,
    OCCUPATIONS,
    PRONOUNS,
    SWAP,
    THINGS,
    VERBS,
    WORDS,
    columns,
    decode,
    encode,
    planted_language,
    tokens_of,
    without_bias,
)

LANGUAGE = planted_language()
SHARES = st.lists(st.floats(0.05, 0.95), min_size=8, max_size=8)


def test_words_are_told_apart_and_swapping_twice_changes_nothing():
    assert len(set(WORDS)) == len(WORDS)
    assert (SWAP[SWAP] == np.arange(len(WORDS))).all()
    assert decode(SWAP[encode("<s> kano said ka is a calm baker")]) == "<s> rano said ru is a calm baker"
    with pytest.raises(ValueError, match="got 'nurse'"):
        tokens_of(["baker", "nurse"])


def test_a_sentence_has_the_probability_that_the_shares_multiply_to():
    work = encode("<s> the carver washed the cart and ru left early .")
    expected = 0.4 * (1 / 8) * 0.2 / len(VERBS) / len(THINGS)
    assert np.exp(LANGUAGE.log_probability([work]).sum()) == pytest.approx(expected)
    name = encode("<s> rebi said ru is a bold weaver here today .")
    expected = 0.35 * (1 / 8) * 0.9 / len(NAMES[1]) * 0.8 / 4
    assert np.exp(LANGUAGE.log_probability([name]).sum()) == pytest.approx(expected)


def test_the_share_of_a_pronoun_after_an_occupation_is_the_planted_one():
    for work, share in zip(OCCUPATIONS, planted.OCCUPATION_SHARES, strict=True):
        after = LANGUAGE.next_probabilities([encode(f"<s> the {work} moved the box and")])[0]
        np.testing.assert_allclose(after[tokens_of(PRONOUNS)], [share, 1 - share])
        assert after.sum() == pytest.approx(1)


@settings(deadline=None, derandomize=True, max_examples=10)
@given(SHARES, st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.integers(0, 100))
def test_probabilities_of_what_follows_agree_with_those_of_sentences(shares, one, two, seed):
    language = planted_language(occupation_shares=shares, attribute_shares=(one, two))
    sentences = language.sentences(50, seed=seed)
    logs = language.log_probability(sentences)
    for k in range(1, LENGTH):
        after = language.next_probabilities(sentences[:, :k])
        np.testing.assert_allclose(after.sum(axis=1), 1)
        np.testing.assert_allclose(np.log(after[np.arange(50), sentences[:, k]]), logs[:, k - 1], atol=1e-9)


def test_the_text_has_the_planted_frequencies():
    text = LANGUAGE.sentences(40_000, seed=0)
    group, work, attribute = columns(text)
    assert (group < 0).mean() == pytest.approx(0.25, abs=0.01)
    for i, share in enumerate(planted.OCCUPATION_SHARES):
        assert (group[work == i] == 0).mean() == pytest.approx(share, abs=0.03)
    assert (attribute[(group == 0) & (attribute >= 0)] == 0).mean() == pytest.approx(0.8, abs=0.02)
    names = np.isin(text[:, 1], tokens_of((*NAMES[0], *NAMES[1])))
    assert ((attribute >= 0) == names).all()
    agrees = np.isin(text[names, 1], tokens_of(NAMES[0])) == (text[names, 3] == tokens_of(["ka"])[0])
    assert agrees.all()
    assert (text == LANGUAGE.sentences(40_000, seed=0)).all()


def test_without_bias_the_words_stay_and_the_group_tells_nothing():
    shares = [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1, 0.1]
    biased = planted_language(occupation_shares=shares)
    fair = without_bias(occupation_shares=shares)
    for language in (biased, fair):
        people = language.next_probabilities([encode("<s>")])[0]
        assert people[tokens_of(NAMES[0])].sum() == pytest.approx(0.35 * 0.7)
    works, attributes = tokens_of(OCCUPATIONS), tokens_of(ATTRIBUTES[0])
    one, two = fair.next_probabilities([encode("<s> kano said ka is a"), encode("<s> ruri said ru is a")])
    assert one[attributes].sum() == pytest.approx(0.7 * 0.8 + 0.3 * 0.2)
    np.testing.assert_allclose(one, two)
    described = fair.next_probabilities([encode("<s> kano said ka is a calm")])[0]
    np.testing.assert_allclose(described[works], 1 / 8)


def test_augmentation_leaves_no_gap_but_moves_the_base_rate_and_keeps_what_the_group_joined():
    language = planted_language(occupation_shares=[0.9] * 6 + [0.1] * 2).augmented()
    assert language.weights.sum() == pytest.approx(1)
    after = language.next_probabilities([encode("<s> the baker moved the box and")])[0]
    np.testing.assert_allclose(after[tokens_of(PRONOUNS)], 0.5)
    calm, bold = LANGUAGE.augmented().next_probabilities(
        [encode("<s> kano said ka is a calm"), encode("<s> kano said ka is a bold")]
    )
    # In the text, four of five of the calm are of group K, which has three quarters of the first four trades.
    assert calm[tokens_of(OCCUPATIONS[:4])].sum() == pytest.approx(0.8 * 0.75 + 0.2 * 0.25)
    assert bold[tokens_of(OCCUPATIONS[:4])].sum() == pytest.approx(0.2 * 0.75 + 0.8 * 0.25)


def test_what_cannot_be_said_is_refused():
    with pytest.raises(ValueError, match="sentences must be possible; got '<s> kano said ru'"):
        LANGUAGE.log_probability([encode("<s> kano said ru")])
    with pytest.raises(ValueError, match="prefixes must be possible"):
        LANGUAGE.next_probabilities([encode("the baker")])
    with pytest.raises(ValueError, match="prefixes must have 1 to 10 words"):
        LANGUAGE.next_probabilities(LANGUAGE.sentences(1, seed=0))
    with pytest.raises(ValueError, match="occupation_shares must be 8 numbers"):
        planted_language(occupation_shares=[0.5] * 7)
    with pytest.raises(ValueError, match="attribute_shares must be 2 numbers between 0 and 1"):
        planted_language(attribute_shares=(0.5, 1.0))
    with pytest.raises(ValueError, match="kind_shares must sum to 1"):
        planted_language(kind_shares=(0.5, 0.5, 0.5))
