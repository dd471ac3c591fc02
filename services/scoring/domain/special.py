"""The special functions of `scipy.special`, imported without what no function needs.

`scipy.special` copies every name of numpy's, which would load numpy's wrappers of Fortran compilers, its test
tools, masked arrays and more: 50 modules, 6 MB and a tenth of the start of this service.
"""

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Final

import numpy as np

_LOADED_WHEN_ASKED_FOR: Final = ("ctypeslib", "f2py", "ma", "polynomial", "testing")


@contextlib.contextmanager
def _withheld() -> Iterator[None]:
    """Give numpy an empty module for each of those that are not loaded yet; take them away afterwards."""
    empty = {name: ModuleType(f"numpy.{name}") for name in _LOADED_WHEN_ASKED_FOR if name not in vars(np)}
    vars(np).update(empty)
    try:
        yield
    finally:
        for name, module in empty.items():
            if vars(np)[name] is module:
                delattr(np, name)


with _withheld():
    from scipy.special import betainc, betaincinv, betaln, gammainc, gammaln, log_ndtr, ndtr, ndtri

__all__ = ["betainc", "betaincinv", "betaln", "gammainc", "gammaln", "log_ndtr", "ndtr", "ndtri"]
