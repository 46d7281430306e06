"""Charts for Plotly: what is drawn, said in words, and the table that it was drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from portfolio_site.kernel.tables import Table

Trace = dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """`summary` says in words what the picture shows. A colour "--name" is that of the theme.

    `table` is what was drawn; it stands folded behind the picture and can be downloaded.
    """

    slug: str
    title: str
    summary: str
    traces: Sequence[Trace]
    table: Table
    layout: Mapping[str, Any] = field(default_factory=dict)
    height: int = 320
    wide: bool = False

    @property
    def figure(self) -> dict[str, Any]:
        """What the script draws; unknown numbers are gaps."""
        return _plain({"traces": list(self.traces), "layout": dict(self.layout) | {"height": self.height}})

    @property
    def is_empty(self) -> bool:
        return not self.table.rows


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
