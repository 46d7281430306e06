"""How much memory an import takes at its peak, whatever ran before it in the same process."""

import gc
import tracemalloc
from typing import Any

from portfolios.services.imports.flow import FileImport, ImportWatch


class CollectingWatch(ImportWatch):
    """Collects cycles after each block: when Python would do so depends on all that the process holds."""

    def progress(self, done: int, total: int | None) -> None:
        gc.collect()


def peak_memory(importer: FileImport[Any]) -> int:
    """The most bytes that were in use at once beyond those before the import."""
    gc.collect()
    gc.freeze()
    gc.disable()
    tracemalloc.start()
    try:
        importer.run(watch=CollectingWatch())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.enable()
        gc.unfreeze()
