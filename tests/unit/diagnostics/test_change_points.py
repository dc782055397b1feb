"""Changes of level: against all segmentations tried one by one, and on courses that do not change."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from neurodata.diagnostics.change_points import change_points
from neurodata.errors import OptionError


def test_the_segmentation_is_the_best_of_all():
    rng = np.random.default_rng(0)
    course = rng.normal(size=(18, 2)) + np.repeat([[0.0, 1.0], [1.5, 0.0], [0.0, 0.0]], 6, axis=0)
    scaled = course / course.std(axis=0)

    def error(cuts):
        return sum(((part - part.mean(axis=0)) ** 2).sum() for part in np.split(scaled, cuts))

    tried = [c for c in combinations(range(2, 17), 2) if c[1] - c[0] >= 2]
    assert change_points(course, 2)[0].tolist() == list(min(tried, key=error))


def test_the_number_of_changes_is_found_in_noise_that_is_slow():
    rng = np.random.default_rng(1)
    noise = np.zeros((600, 2))
    for t in range(1, 600):
        noise[t] = 0.8 * noise[t - 1] + 0.3 * rng.normal(size=2)
    level = np.repeat([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]], 200, axis=0)
    found, criterion = change_points(level + noise)
    assert len(found) == 2
    np.testing.assert_allclose(found, [200, 400], atol=3)
    assert criterion.argmin() == 2
    assert len(change_points(noise)[0]) == 0


def test_long_courses_are_refined_to_the_sample():
    level = np.repeat([0.0, 1.0, 0.0], [5003, 4011, 3000])[:, None]
    rng = np.random.default_rng(2)
    np.testing.assert_allclose(change_points(level + 0.1 * rng.normal(size=level.shape), 2)[0], [5003, 9014], atol=1)


def test_a_course_that_never_varies_has_no_changes():
    assert change_points(np.ones((30, 2)))[0].size == 0


@pytest.mark.parametrize(
    ("course", "number"), [(np.ones((3, 1)), None), (np.full((9, 1), np.nan), None), (np.ones((9, 1)), 8)]
)
def test_bad_courses_are_refused(course, number):
    with pytest.raises(OptionError):
        change_points(course, number)
