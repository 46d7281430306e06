"""The figures of quantstats without its plots and its client of the web, which take seconds to import."""

import importlib
import sys
import warnings
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from unittest.mock import patch


@cache
def quantstats_stats() -> ModuleType:
    """quantstats.stats. What stands for the rest of the package is gone again afterwards."""
    spec = find_spec("quantstats")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package, web = ModuleType("quantstats"), ModuleType("yfinance")
    package.__path__ = list(spec.submodule_search_locations)
    with patch.dict(sys.modules, {"quantstats": package, "yfinance": web}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("quantstats.stats")
