"""The layouts that transactions can be imported from.

Others are added by an entry point of the group `portfolio_site.transaction_layouts`, which names a Layout or
something that makes one when called without arguments.
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from portfolios.imports.errors import FileError, TableError
from portfolios.imports.layouts.base import COMMA, Announced, Item, Layout, Note
from portfolios.imports.layouts.generic import GenericLayout
from portfolios.imports.layouts.ghostfolio import GhostfolioLayout
from portfolios.imports.layouts.ibkr_flex import IbkrFlexLayout
from portfolios.imports.layouts.ibkr_statement import IbkrStatementLayout
from portfolios.imports.layouts.own import OwnLayout
from portfolios.imports.layouts.parqet import ParqetLayout
from portfolios.imports.layouts.portfolio_performance import PortfolioPerformanceLayout
from portfolios.imports.layouts.schwab import SchwabLayout
from portfolios.imports.report import Reject
from portfolios.imports.table import Table

__all__ = [
    "AUTO",
    "BUILT_IN",
    "Announced",
    "Item",
    "Layout",
    "LayoutError",
    "Note",
    "check_layout_name",
    "find_layout",
    "known_layouts",
]

AUTO = "auto"
GROUP = "portfolio_site.transaction_layouts"
BUILT_IN: dict[str, Callable[[], Layout]] = {
    layout.name: layout
    for layout in (
        OwnLayout,
        GenericLayout,
        PortfolioPerformanceLayout,
        GhostfolioLayout,
        IbkrFlexLayout,
        IbkrStatementLayout,
        SchwabLayout,
        ParqetLayout,
    )
}


class LayoutError(FileError):
    """There is no such layout, or one that was added cannot be used."""


def find_layout(name: str, table: Table, *, needs_portfolio: bool, has_decimal_comma: bool) -> Layout:
    """The layout of that name, or with AUTO the one of this header. Raises LayoutError, TableError."""
    own = OwnLayout(needs_portfolio=needs_portfolio, has_decimal_comma=has_decimal_comma)
    if name == own.name:
        own.check_header(table)
        return own
    known: dict[str, Layout] = {**known_layouts(), own.name: own}
    if has_decimal_comma:
        known[GenericLayout.name] = GenericLayout(COMMA)
    layout = known[name] if name in known else _recognised(table, known)
    layout.check_header(table)
    if has_decimal_comma and layout.name not in {own.name, GenericLayout.name}:
        raise LayoutError(f"layout {layout.name} has its own rule for numbers; leave the decimal comma out")
    return layout


def check_layout_name(name: str) -> None:
    """Raise LayoutError unless there is such a layout."""
    if name not in {AUTO, *BUILT_IN} and name not in known_layouts():
        raise LayoutError(f"unknown layout {name}; there are {', '.join([AUTO, *known_layouts()])}")


def known_layouts() -> dict[str, Layout]:
    """All layouts by name, those of entry points last. Raises LayoutError."""
    layouts = {name: make() for name, make in BUILT_IN.items()}
    for entry_point in entry_points(group=GROUP):
        layout = _added(entry_point)
        if layout.name in {AUTO, *layouts}:
            raise _broken(entry_point, f"there is a layout {layout.name} already")
        layouts[layout.name] = layout
    return layouts


def _added(entry_point: EntryPoint) -> Layout:
    try:
        found = entry_point.load()
        layout = found() if callable(found) else found
    except Exception as error:  # Code of others may fail in any way; the import says whose it was.
        raise _broken(entry_point, f"cannot be loaded: {error!r}") from error
    if not isinstance(layout, Layout) or not isinstance(layout.name, str) or not layout.name:
        raise _broken(
            entry_point, "is no layout: it needs name, names, misfit, check_header, remarks and rows"
        )
    return layout


def _broken(entry_point: EntryPoint, reason: str) -> LayoutError:
    return LayoutError(f"entry point {entry_point.name} = {entry_point.value} of {GROUP}: {reason}")


def _recognised(table: Table, layouts: dict[str, Layout]) -> Layout:
    misfits = {name: layout.misfit(table) for name, layout in layouts.items()}
    fitting = [name for name, misfit in misfits.items() if not misfit]
    if len(fitting) > 1:
        reason = f"the header fits the layouts {', '.join(fitting)}: say which it is"
        raise TableError(Reject(1, "", "", reason))
    if fitting:
        return layouts[fitting[0]]
    own = layouts[OwnLayout.name]
    if _looks_like_own(table):
        return own
    known = "; ".join(f"{name} {misfit}" for name, misfit in misfits.items())
    shown = ",".join(table.header)
    raise TableError(Reject(1, "", shown, f"the header is of no known layout: {known}"))


def _looks_like_own(table: Table) -> bool:
    """Whoever has a column that only our layout has meant it, and wants to know what is wrong with it.

    One column alone is nobody's export; what it lacks of ours says the same in fewer words.
    """
    return len(table.header) == 1 or bool(
        {"portfolio", "trade_date", "kind", "external_id"} & set(table.header)
    )
