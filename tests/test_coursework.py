"""Numbers that differ by student, and a check that does not tell what it expects."""

import numpy as np
import pytest
import torch

from scaling_transformers.coursework import Personal, check_close


def test_a_students_numbers_are_theirs_and_stay():
    students = [f"s{number}" for number in range(400)]
    picks = [Personal("attention", student=student, variant="2026")("d", range(10)) for student in students]
    assert picks == [
        Personal("attention", student=s.upper() + " ", variant="2026")("d", range(10)) for s in students
    ]
    counts = np.bincount(picks, minlength=10)
    assert counts.min() > 15  # 40 expected each, six standard deviations of 6.0 below is 4
    others = [Personal("attention", student=student, variant="2027")("d", range(10)) for student in students]
    assert 0.02 < np.mean(np.equal(picks, others)) < 0.2
    more = [Personal("attention", student=student, variant="2026")("e", range(10)) for student in students]
    assert 0.02 < np.mean(np.equal(picks, more)) < 0.2


def test_where_a_notebook_is_graded_its_owner_counts_and_not_the_name_typed(monkeypatch):
    ada = Personal("attention", student="ada", variant="2026")("d", range(1000))
    monkeypatch.setenv("COURSEWORK_STUDENT", "ada")
    assert Personal("attention", student="bob", variant="2026")("d", range(1000)) == ada
    assert Personal("attention", student="", variant="2026")("d", range(1000)) == ada


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="student is empty"):
        Personal("attention", student=" ", variant="2026")
    with pytest.raises(ValueError, match="two or more"):
        Personal("attention", student="ada", variant="2026")("d", [64])


@pytest.mark.parametrize(
    ("actual", "said"),
    [
        (None, "no answer yet"),
        (..., "no answer yet"),
        ("a", "Expected numbers, got str"),
        ([1.0, 2.0, 3.0], r"Expected shape \(2,\), got \(3,\)"),
        ([1.0, np.nan], "not finite"),
        ([1.0, 4321.0], "^Look at it.$"),
    ],
)
def test_a_wrong_answer_gets_the_message_and_not_the_right_one(actual, said):
    with pytest.raises(AssertionError, match=said) as found:
        check_close(actual, [1.0, 1234.5], "Look at it.")
    assert "Look at it." in str(found.value)
    assert "1234" not in str(found.value)


def test_numbers_arrays_and_tensors_that_agree_pass():
    check_close(1 + 1e-8, 1, "x")
    check_close(torch.tensor([1.0, float("inf")], requires_grad=True), np.array([1.0, np.inf]), "x")
    check_close(1.05, 1, "x", rtol=0.1)
    check_close(1e-9, 0, "x", atol=1e-8)
    with pytest.raises(AssertionError):
        check_close(1e-9, 0, "x")
