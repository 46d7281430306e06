"""Assets without prices of their own, such as blends of others. Other apps say which these are."""

from collections.abc import Callable, Mapping

_finders: list[Callable[[], Mapping[int, str]]] = []


def derived_assets_register(find: Callable[[], Mapping[int, str]]) -> None:
    """`find` gives the ids of assets and what they are. Other apps call this when they are ready."""
    _finders.append(find)


def derived_assets() -> dict[int, str]:
    """The ids of all such assets, and what each is."""
    return {asset: what for find in _finders for asset, what in find().items()}
