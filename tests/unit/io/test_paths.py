"""The path language of mappings, on nested dicts and lists."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.errors import OptionError
from neurodata.io._paths import array_leaf, find, listing


class Nested:
    """Dicts are groups, lists are cells, arrays are leaves."""

    def __init__(self, value):
        self.value = value

    def members(self):
        return {name: Nested(item) for name, item in self.value.items()} if isinstance(self.value, dict) else {}

    def positions(self):
        return [Nested(item) for item in self.value] if isinstance(self.value, list) else None

    def leaf(self):
        return array_leaf(self.value) if isinstance(self.value, np.ndarray) else None


FILE = Nested(
    {
        "a": {"x": np.arange(6).reshape(2, 3), "y": np.arange(2)},
        "cells": [{"t": np.array([1.0])}, {"t": np.array([2.0, 3.0])}],
        "wrapped": [[{"t": np.array([9.0])}]],
        "units": {"unit_10": np.array([1]), "unit_9": np.array([2]), "other": np.array([3])},
    }
)


def values(path):
    return [leaf.read().tolist() for _, leaf in find(FILE, path).leaves]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/x", [[[0, 1, 2], [3, 4, 5]]]),
        ("/a/y/", [[0, 1]]),
        ("a/x[1]", [[3, 4, 5]]),
        ("a/x[:, 0]", [[0, 3]]),
        ("a/x[0, ::-1]", [[2, 1, 0]]),
        ("a/x[-1, 1:]", [[4, 5]]),
        ("cells{2}/t", [[2.0, 3.0]]),
        ("cells[1]/t", [[2.0, 3.0]]),
        ("cells[-1]/t[0:1]", [[2.0]]),
        ("cells/*/t", [[1.0], [2.0, 3.0]]),
        ("wrapped/t", [[9.0]]),
        ("wrapped/*/*/t", [[9.0]]),
        ("units/unit_*", [[2], [1]]),
    ],
)
def test_paths(path, expected):
    assert values(path) == expected


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("cells/*/t", [1, 2]),
        ("units/unit_*", [9, 10]),
        ("units/*", ["other", "unit_9", "unit_10"]),
        ("wrapped/*/*/t", ["1-1"]),
    ],
)
def test_ids_are_the_matched_parts(path, ids):
    assert find(FILE, path).ids().tolist() == ids


@pytest.mark.parametrize(
    "path", ["a/z", "a", "cells{3}/t", "cells/t", "a/x[5]", "a/x[x]", "a/x[:,0]/y", "", "cells{0}[9]"]
)
def test_paths_that_lead_nowhere(path):
    with pytest.raises(OptionError):
        find(FILE, path)


def test_listing_names_every_leaf_once():
    assert listing(FILE) == {
        "a/x": "(2, 3) int64",
        "a/y": "(2,) int64",
        "cells/*/t": "(1,) float64, and 1 alike",
        "wrapped/*/*/t": "(1,) float64",
        "units/unit_10": "(1,) int64",
        "units/unit_9": "(1,) int64",
        "units/other": "(1,) int64",
    }
