"""What every reader must do, whatever its format."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import (
    MissingDependencyError,
    NeurodataError,
    OptionError,
    PathNotFoundError,
    UnknownFormatError,
)
from neurodata.io.load import load
from neurodata.io.registry import _MODULES, BY_CONTENT, NO, all_readers
from neurodata.schema import MODALITIES

READERS = sorted(all_readers())


def junk_paths(tmp_path):
    """No recordings: folders, and files of every suffix that a reader claims, with noise or nothing inside."""
    noise = np.random.default_rng(0).bytes(4096)
    suffixes = sorted({suffix for reader in all_readers().values() for suffix in reader.suffixes} | {"", ".txt", ".py"})
    paths = [tmp_path / "empty_folder", tmp_path / "folder_of_text"]
    for folder in paths:
        folder.mkdir()
    (paths[1] / "README.md").write_text("nothing here")
    for suffix in suffixes:
        for name, content in (("noise", noise), ("nothing", b"")):
            file = tmp_path / f"{name}{suffix}"
            file.write_bytes(content)
            paths.append(file)
    return paths


def test_every_listed_module_is_there():
    assert len(READERS) == len(_MODULES)


@pytest.mark.parametrize("name", READERS)
def test_description_is_complete(name):
    reader = all_readers()[name]
    assert reader.name == name
    assert reader.formats
    assert set(reader.modalities) <= set(MODALITIES)
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in reader.suffixes)
    assert bool(reader.packages) == bool(reader.extra)
    assert set(reader.needs) <= set(reader.options)
    assert inspect.getdoc(reader.read)
    kinds = {parameter.kind for parameter in inspect.signature(reader.read).parameters.values()}
    assert kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", READERS)
def test_detect_never_raises_and_knows_no_junk_by_content(name, tmp_path):
    for path in junk_paths(tmp_path):
        found = all_readers()[name].detect(path)
        assert found in (NO, 1, BY_CONTENT)
        assert found != BY_CONTENT, f"{name} takes {path.name} for its own"


@pytest.mark.parametrize("name", READERS)
def test_junk_forced_on_a_reader_is_a_typed_error(name, tmp_path):
    """Wrong reader, empty folder, empty or damaged file: always a NeurodataError that says what to do."""
    reader = all_readers()[name]
    options = {"mapping": {"calcium/fluorescence": "x"}} if "mapping" in reader.needs else {}
    if "sampling_rate" in reader.options:
        options["sampling_rate"] = 100.0
    paths = junk_paths(tmp_path)
    chosen = paths[:2] + [path for path in paths[2:] if path.suffix in reader.suffixes or path.name == "noise.txt"]
    for path in chosen:
        with pytest.raises(NeurodataError) as caught:
            load(path, reader=name, **options)
        assert not isinstance(caught.value, MissingDependencyError), str(caught.value)
        assert caught.value.expected
        assert caught.value.fix


@pytest.mark.parametrize("name", READERS)
def test_an_unknown_option_is_refused(name, tmp_path):
    file = tmp_path / "x.dat"
    file.write_bytes(b"x")
    with pytest.raises(OptionError, match="smapling_rate"):
        load(file, reader=name, smapling_rate=10.0)


def test_the_table_lists_every_reader():
    table = nd.io.readers()
    assert sorted(table.index) == READERS
    assert table["formats"].map(bool).all()


def test_missing_path_unknown_reader_empty_folder_and_unknown_file(tmp_path):
    with pytest.raises(PathNotFoundError):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownFormatError, match="is empty"):
        load(tmp_path / "empty")
    (tmp_path / "notes.docx").write_bytes(b"PK")
    with pytest.raises(UnknownFormatError, match=r"notes\.docx"):
        load(tmp_path / "notes.docx")
    with pytest.raises(OptionError, match="suite3p"):
        load(tmp_path / "notes.docx", reader="suite3p")


def test_a_folder_of_several_recordings_is_a_tree_named_by_stem(tmp_path):
    rec = nd.make_recording(spikes=nd.make_spikes({"a": [0.1]}))
    for name in ("monday.nc", "tuesday.nc"):
        nd.save(rec, tmp_path / name)
    (tmp_path / "notes.txt").write_text("a note")
    tree = load(tmp_path)
    assert list(tree.children) == ["monday", "tuesday"]
    assert tree["monday"]["spikes"].to_dataset().identical(rec["spikes"].to_dataset())


def test_sub_folders_become_levels_and_unused_options_are_refused(tmp_path):
    rec = nd.make_recording(spikes=nd.make_spikes({"a": [0.1]}))
    (tmp_path / "mouse1").mkdir()
    nd.save(rec, tmp_path / "mouse1" / "monday.nc")
    nd.save(rec, tmp_path / "pilot.nc")
    tree = load(tmp_path)
    assert [path for path, _ in nd.containers.recordings(tree)] == ["mouse1/monday", "pilot"]
    nd.check(tree)
    with pytest.raises(OptionError, match="sampling_rate"):
        load(tmp_path, sampling_rate=10.0)


def test_sessions_may_be_called_as_nodes_are_and_stems_are_kept_apart(tmp_path):
    rec = nd.make_recording(spikes=nd.make_spikes({"a": [0.1]}))
    (tmp_path / "eeg").mkdir()
    for name in ("spikes.nc", "eeg/spikes.nc", "eeg.nc"):
        nd.save(rec, tmp_path / name)
    tree = load(tmp_path)
    assert [path for path, _ in nd.containers.recordings(tree)] == ["eeg/spikes", "eeg.nc", "spikes"]
    assert tree["spikes"]["spikes"].to_dataset().identical(rec["spikes"].to_dataset())
    assert load(nd.save(tree, tmp_path / "all.nc")).identical(tree)
