"""Students have the parameters that are counted, learn, and do not disturb each other."""

import numpy as np
import pytest
import torch

from scaling_transformers.frontiers.teacher_student import (
    N_AMBIENT,
    held_out_losses,
    lessons,
    n_parameters,
    predict,
    train_students,
)

OPTIONS = {"batch": 64, "learning_rate": 0.01, "seed": 0}


def test_lessons_are_scaled_and_test_points_are_others():
    points, values = lessons((1, 2), (0, 5), n_sample=2000)
    assert points.shape == (4, 2000, N_AMBIENT)
    np.testing.assert_allclose(values.mean(dim=1), 0.0, atol=0.15)
    np.testing.assert_allclose(values.std(dim=1), 1.0, atol=0.15)
    others, _ = lessons((1, 2), (0, 5), n_sample=2000, test=True)
    assert not torch.isclose(points, others).all(dim=2).any()


def test_a_student_is_the_network_that_torch_would_build():
    points, values = lessons((2,), (0, 1), n_sample=30)
    weights = train_students(points, values, width=5, n_step=2, **OPTIONS)
    assert sum(weight[0].numel() for weight in weights) == n_parameters(5)
    for i in range(2):
        said = points[i]
        for k in (0, 2, 4):
            said = torch.nn.functional.linear(said, weights[k][i].T, weights[k + 1][i, 0])
            said = said.relu() if k < 4 else said
        torch.testing.assert_close(said[:, 0], predict(weights, points)[i])


def test_training_learns_the_teacher_on_points_not_seen():
    train, test = (lessons((1, 2), (0,), n_sample=1000, test=which) for which in (False, True))
    losses = [held_out_losses(train_students(*train, width=16, n_step=n, **OPTIONS), *test) for n in (1, 400)]
    assert (losses[1] < 0.1 * losses[0]).all()


def test_a_student_learns_alike_whatever_stands_beside_it():
    points, values = lessons((2,), (0, 1), n_sample=50)
    changed = values.clone()
    changed[1] += 1.0
    one, other = (train_students(points, v, width=4, n_step=20, **OPTIONS) for v in (values, changed))
    torch.testing.assert_close(predict(one, points)[0], predict(other, points)[0])
    assert not torch.allclose(predict(one, points)[1], predict(other, points)[1])


def test_a_width_of_none_is_refused():
    points, values = lessons((1,), (0,), n_sample=5)
    with pytest.raises(ValueError, match=r"^width must"):
        train_students(points, values, width=0, n_step=1, **OPTIONS)
