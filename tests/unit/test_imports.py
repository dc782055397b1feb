"""`import neurodata` is cheap and does nothing; the layers hold; every public name is there and typed."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import neurodata as nd

# Modules that cost more than a glance. Not one of them may be there after `import neurodata`.
HEAVY = (
    "numpy",
    "scipy",
    "pandas",
    "xarray",
    "numba",
    "matplotlib",
    "sklearn",
    "pymc",
    "arviz",
    "h5py",
    "tensorly",
    "jax",
)


def modules_after(code: str) -> set[str]:
    """Modules loaded by `code` in a fresh interpreter."""
    report = "import json; print(json.dumps(sorted(set(sys.modules) - before)))"
    program = f"import sys; before = set(sys.modules); {code}; {report}"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_import_loads_no_heavy_module():
    loaded = modules_after("import neurodata")
    assert "neurodata" in loaded
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)


def test_loading_a_recording_does_not_load_models_or_plots(tmp_path):
    path = nd.save(nd.make_recording(spikes=nd.make_spikes({"a": [0.1]})), tmp_path / "rec.nc")
    loaded = modules_after(f"import neurodata as nd; nd.load({str(path)!r})")
    assert "xarray" in loaded
    assert not {"numba", "matplotlib", "sklearn", "pymc", "mne", "neo", "pynwb"} & {n.partition(".")[0] for n in loaded}


def test_import_makes_no_files_and_adds_no_log_handlers(tmp_path):
    code = (
        "import logging, os; os.chdir(sys.argv[1]); os.environ['HOME'] = sys.argv[1]; "
        "import neurodata; assert not logging.getLogger('neurodata').handlers; assert os.listdir('.') == []"
    )
    subprocess.run([sys.executable, "-c", f"import sys; {code}", str(tmp_path)], check=True)


def stub_names(stub: Path) -> set[str]:
    tree = ast.parse(stub.read_text())
    return {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}


@pytest.mark.parametrize("package", ["", "io", "preprocess", "models", "plot"])
def test_every_name_of_a_stub_resolves(package):
    module = nd if not package else getattr(nd, package)
    names = stub_names(Path(nd.__file__).parent / package / "__init__.pyi")
    assert names
    assert names <= set(dir(module))
    for name in sorted(names):
        assert getattr(module, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = nd.nothing_here


def test_the_layers_hold():
    """Imports go downwards only; the contract is in pyproject.toml."""
    command = Path(sys.executable).with_name("lint-imports")
    root = Path(nd.__file__).parents[1]
    done = subprocess.run([command, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_forbidden_import_breaks_the_layer_contract(tmp_path):
    """The test above can fail: a copy of the package whose kernels import the containers breaks the contract."""
    import shutil

    root = Path(nd.__file__).parents[1]
    shutil.copytree(root / "neurodata", tmp_path / "neurodata", ignore=shutil.ignore_patterns("__pycache__", "_data"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    with open(tmp_path / "neurodata" / "kernels" / "__init__.py", "a") as file:
        file.write("\nimport neurodata.containers\n")
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "neurodata.kernels -> neurodata.containers" in done.stdout
