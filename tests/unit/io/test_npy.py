"""Reading .npy: what is refused, what is asked for, what is told apart."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.errors import FormatError, NeurodataWarning, PathNotFoundError, UntrustedDataError
from neurodata.io._npy import read_npy


class _Trap:
    """An object whose unpickling leaves a file behind."""

    def __init__(self, marker) -> None:
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint64).reshape(3, 2),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(["a", "bé"]),
        np.zeros((0, 4), np.float32),
        np.array(3.5),
        np.array([(1, 2.0)], dtype=[("é", "i4"), ("b", "f8")]),
    ],
    ids=["uint64", "fortran", "text", "empty", "scalar", "version 3 header"],
)
@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0:UserWarning")  # said by np.save in the test itself
def test_reads_what_numpy_wrote(tmp_path, array, mmap):
    np.save(tmp_path / "x.npy", array)
    found = read_npy(tmp_path / "x.npy", mmap=mmap)
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


def test_mmap_does_not_read_the_file(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(4))
    found = read_npy(tmp_path / "x.npy", mmap=True)
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable


def test_object_array_needs_asking_and_runs_nothing_before(tmp_path):
    marker = tmp_path / "ran"
    np.save(tmp_path / "x.npy", np.array([_Trap(marker)], dtype=object), allow_pickle=True)
    with pytest.raises(UntrustedDataError, match="pass allow_pickle=True"):
        read_npy(tmp_path / "x.npy", mmap=True)
    assert not marker.exists()


def test_object_array_when_asked(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    assert read_npy(tmp_path / "x.npy", allow_pickle=True).tolist() == [{"a": 1}, None]


@pytest.mark.parametrize("kept", [0, 3, 8, 40, -1, -9], ids=lambda kept: f"bytes[:{kept}]")
def test_truncated_file(tmp_path, kept):
    np.save(tmp_path / "x.npy", np.arange(5))
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(whole[:kept])
    with pytest.raises(FormatError, match="x.npy"):
        read_npy(tmp_path / "x.npy")


def test_truncated_object_array(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(whole[:-5])
    with pytest.raises(FormatError, match="unpickles"):
        read_npy(tmp_path / "x.npy", allow_pickle=True)


def test_other_formats_and_damaged_headers(tmp_path):
    (tmp_path / "x.npy").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(FormatError, match=r"\.npy file"):
        read_npy(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", np.arange(5))
    whole = (tmp_path / "y.npy").read_bytes()
    (tmp_path / "y.npy").write_bytes(whole.replace(b"'descr'", b"'d\x00scr'"))
    with pytest.raises(FormatError, match=r"\.npy file"):
        read_npy(tmp_path / "y.npy")


def test_a_shape_larger_than_the_file_allocates_nothing(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(5))
    whole = (tmp_path / "x.npy").read_bytes()
    # Ten to the fifteenth values: a reader that trusted the header would die allocating them.
    (tmp_path / "x.npy").write_bytes(whole.replace(b"(5,), }               ", b"(1000000000000000,), }"))
    assert b"1000000000000000" in (tmp_path / "x.npy").read_bytes()
    with pytest.raises(FormatError, match="truncated"):
        read_npy(tmp_path / "x.npy")


def test_bytes_after_the_array_are_said(tmp_path):
    with open(tmp_path / "x.npy", "wb") as file:
        np.save(file, np.arange(2))
        np.save(file, np.arange(3))
    with pytest.warns(NeurodataWarning, match="bytes after its array"):
        assert read_npy(tmp_path / "x.npy").tolist() == [0, 1]


def test_no_file(tmp_path):
    with pytest.raises(PathNotFoundError, match="does not exist"):
        read_npy(tmp_path / "x.npy")
