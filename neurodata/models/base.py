"""What all models share: settings as scikit-learn wants them, results that exist only after `fit`, files, reprs."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr
from sklearn.base import BaseEstimator

from neurodata.errors import NotFittedError


class Model(BaseEstimator):
    """Base of the models: settings are stored untouched, results are attributes that end in ``_``.

    A subclass lists its results in `_results` (DataArrays) and `_facts` (numbers and text), and sets them in `fit`.
    """

    _results: ClassVar[tuple[str, ...]] = ()
    _facts: ClassVar[tuple[str, ...]] = ()

    def __getattr__(self, name: str) -> Any:
        if name in type(self)._results or name in type(self)._facts:
            raise NotFittedError(
                f"a fitted {type(self).__name__}, for {name}", "one that is not", "call fit(data) first"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __sklearn_is_fitted__(self) -> bool:
        return any(name in vars(self) for name in self._results)

    def _require_fit(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"a fitted {type(self).__name__}", "one that is not", "call fit(data) first")

    def _forget(self) -> None:
        """Drop the results of an earlier fit."""
        for name in (*self._results, *self._facts):
            if name in vars(self):
                delattr(self, name)

    def _name_results(self) -> None:
        """Name each result after itself, so that it is the same in memory, in a Dataset and in a file."""
        for name in self._results:
            if name in vars(self):
                vars(self)[name].name = name[:-1]

    def to_dataset(self) -> xr.Dataset:
        """All results in one Dataset; facts and settings are its attributes.

        Returns
        -------
        xarray.Dataset
            Variables carry the names of the results, without the final ``_``.
        """
        from neurodata.models.results import settings_attrs

        self._require_fit()
        present = {name[:-1]: vars(self)[name] for name in self._results if name in vars(self)}
        facts = {name[:-1]: vars(self)[name] for name in self._facts if name in vars(self)}
        facts = {name: int(value) if isinstance(value, bool) else value for name, value in facts.items()}
        return xr.Dataset(present, attrs={**settings_attrs(self), **facts})

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> Path:
        """Write settings and results to one file; `neurodata.models.load` reads it. No pickle is involved.

        Parameters
        ----------
        path : path
            ``.nc``, or ``.zarr`` (extra ``zarr``).
        overwrite : bool
            Replace what is there; the old file survives until the new one is complete.
        """
        from neurodata.containers.store import write_tree

        return write_tree(xr.DataTree(self.to_dataset()), path, overwrite=overwrite)

    def _summary(self) -> list[tuple[str, str]]:
        """Lines of the repr of a fitted model: what, value."""
        return []

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:  # noqa: N803 - the name is scikit-learn's
        text = super().__repr__(N_CHAR_MAX=N_CHAR_MAX)
        if self.__sklearn_is_fitted__():
            text += "".join(f"\n  {what}: {value}" for what, value in self._summary())
        return text

    def _repr_html_(self) -> str:
        rows = self._summary() if self.__sklearn_is_fitted__() else [("state", "not fitted")]
        cells = "".join(f"<tr><th>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in rows)
        settings = html.escape(super().__repr__())
        return f"<div><code>{settings}</code><table>{cells}</table></div>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}
