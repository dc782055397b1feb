"""Any valid recording comes back identical from the store."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import neurodata as nd

# Any text but lone surrogates (no file can hold them) and the null character (NetCDF ends text there).
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
ATTRS = st.dictionaries(
    st.sampled_from(["lab", "hz", "notes", "n", "structured", "maybe", "list"]),
    st.one_of(TEXT, st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.booleans(), st.none(), st.lists(TEXT)),
    max_size=4,
)
FLOATS = st.floats(allow_nan=True, allow_infinity=False, width=32)


def ids(n):
    """Distinct ids, whole numbers or text (also non-ASCII, also with a slash)."""
    return st.one_of(
        st.lists(st.integers(-(2**31), 2**31), min_size=n, max_size=n, unique=True),
        st.lists(NAMES, min_size=n, max_size=n, unique=True),
    )


@st.composite
def times(draw, max_size=20):
    """Times that increase, with gaps, from any start."""
    steps = draw(st.lists(st.sampled_from([0.1, 0.1, 0.1, 7.3]), max_size=max_size - 1))
    return draw(st.floats(-100, 100)) + np.concatenate([[0.0], np.cumsum(steps)])


@st.composite
def spikes(draw):
    trains = draw(st.lists(st.lists(st.floats(0, 50), max_size=15).map(sorted), min_size=1, max_size=5))
    n = len(trains)
    support = draw(st.sampled_from([None, [[0.0, 50.0]], [[-3.5, 50.0], [60.0, 61.0]]]))
    return nd.make_spikes(
        dict(zip(draw(ids(n)), trains, strict=True)),
        support=support,
        time_unit="s",
        label=draw(st.lists(TEXT, min_size=n, max_size=n)),
        depth=draw(hnp.arrays(np.float64, n, elements=FLOATS)),
        attrs=draw(ATTRS),
    )


@st.composite
def eeg(draw):
    time, n = draw(times()), draw(st.integers(1, 4))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return nd.make_eeg(
        draw(hnp.arrays(dtype, (time.size, n), elements=FLOATS)),
        channel=draw(ids(n)),
        time=time,
        ch_type=draw(st.lists(st.sampled_from(["eeg", "stim", "misc"]), min_size=n, max_size=n)),
        ch_unit=draw(st.lists(st.sampled_from(["V", "°C", "S"]), min_size=n, max_size=n)),
        bad=draw(st.lists(st.booleans(), min_size=n, max_size=n)),
        attrs=draw(ATTRS),
    )


@st.composite
def calcium(draw):
    time, n = draw(times()), draw(st.integers(1, 4))
    traces = st.none() | hnp.arrays(np.float32, (time.size, n), elements=FLOATS)
    pixel = st.lists(st.integers(0, 30), min_size=0, max_size=5)
    masks = [(p, p[::-1], np.ones(len(p))) for p in draw(st.lists(pixel, min_size=n, max_size=n))]
    return nd.make_calcium(
        draw(hnp.arrays(np.float32, (time.size, n), elements=FLOATS)),
        deconvolved=draw(traces),
        time=time,
        roi=draw(ids(n)),
        masks=draw(st.sampled_from([None, masks])),
        is_cell=draw(st.lists(st.booleans(), min_size=n, max_size=n)),
        attrs=draw(ATTRS),
    )


@st.composite
def trials(draw):
    n = draw(st.integers(0, 6))
    start = draw(hnp.arrays(np.float64, n, elements=st.floats(0, 100)))
    return nd.make_trials(
        {
            "start": start,
            "stop": start + 1,
            "stimulus": draw(st.lists(TEXT | st.none(), min_size=n, max_size=n)),
            "correct": draw(st.lists(st.booleans(), min_size=n, max_size=n)),
            "größe/cm": draw(hnp.arrays(np.float64, n, elements=FLOATS)),
        },
        trial=draw(ids(n)),
    )


@st.composite
def events(draw):
    n = draw(st.integers(0, 6))
    return nd.make_events(
        draw(hnp.arrays(np.float64, n, elements=st.floats(-10, 100))),
        draw(hnp.arrays(np.float64, n, elements=st.floats(0, 5) | st.just(np.nan))),
        np.array(draw(st.lists(TEXT, min_size=n, max_size=n)), dtype=object),
        attrs=draw(ATTRS),
    )


@st.composite
def recordings(draw):
    kinds = {
        "spikes": spikes(),
        "eeg": eeg(),
        "eeg_2": eeg(),
        "calcium": calcium(),
        "trials": trials(),
        "events": events(),
    }
    names = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, unique=True))
    return nd.make_recording({name: draw(kinds[name]) for name in names}, attrs=draw(ATTRS))


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@given(recording=recordings())
def test_a_saved_recording_comes_back_identical(suffix, recording):
    if suffix == ".zarr":
        pytest.importorskip("zarr", reason="the extra zarr is not installed")
    before = recording.copy(deep=True)
    with tempfile.TemporaryDirectory() as folder:
        path = nd.save(recording, Path(folder) / f"recording{suffix}")
        loaded = nd.load(path).load()
    assert recording.identical(before)
    assert loaded.identical(recording)
    nd.check(loaded)
