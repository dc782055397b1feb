"""Descriptions that are the same from session to session, and differ when results would."""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import OptionError
from neurodata.validate._identity import describe, digest
from neurodata.validate.prepare import Prepare


def make(power):
    def raised(x, offset=1):
        return x**power + offset

    return raised


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (nd.models.HMMGLM(n_states=2), nd.models.HMMGLM(n_states=3)),
        (Prepare(0.1), Prepare(0.2)),
        (Prepare, make),
        (np.arange(3), np.arange(4)),
        (np.arange(3), np.arange(3.0)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (make(2), make(3)),
        (functools.partial(make, 2), functools.partial(make, 3)),
        (lambda x: x, lambda x: 2 * x),
        (np.random.default_rng(1), np.random.default_rng(2)),
        ([1, 2], [2, 1]),
        (1, "1"),
        (None, False),
    ],
    ids=str,
)
def test_different_things_differ(one, other):
    assert digest(describe(one)) != digest(describe(other))
    assert digest(describe(one)) == digest(describe(one))


def test_equal_things_are_equal():
    assert describe(nd.models.HMMGLM(n_jobs=4, progress=True)) == describe(nd.models.HMMGLM())
    assert describe(make(2)) == describe(make(2))
    assert describe({"a", "b"}) == describe({"b", "a"})
    assert digest(describe({"a": 1, "b": 2})) == digest(describe({"b": 2, "a": 1}))


def test_another_session_says_the_same():
    code = (
        "import neurodata as nd; from neurodata.validate._identity import describe, digest, code_version; "
        "print(digest(describe([nd.models.HMMGLM(), nd.validate.Prepare(0.1), {'b', 'a', 'c'}])), code_version())"
    )
    texts = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "ab"
    }
    assert len(texts) == 1


def test_a_thing_that_says_nothing_lasting_is_refused():
    with pytest.raises(OptionError, match="told from another"):
        describe(object())
