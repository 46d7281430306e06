"""Why a file as a whole cannot be imported."""

from portfolios.imports.report import Reject


class FileError(Exception):
    """The file cannot be opened at all, or may not."""


class TableError(Exception):
    """The file cannot be read as a table; `rejects` say where and why."""

    def __init__(self, *rejects: Reject) -> None:
        super().__init__("; ".join(str(reject) for reject in rejects))
        self.rejects = list(rejects)
