from pathlib import Path

import pytest

from analytics.models import PortfolioAllocation
from portfolios.services.file_uploads import upload_targets
from tests.support import factories as make
from tests.support.imports import nothing_written, write_file

pytestmark = pytest.mark.django_db

ALLOCATIONS = (
    "portfolio,symbol,target_percentage,min_percentage,max_percentage,rebalance_threshold,rebalance_frequency"
)


def test_what_analytics_imports_can_be_uploaded_too() -> None:
    offered = {target.name for target in upload_targets()}
    assert {"transactions", "allocations", "benchmarks", "blends"} <= offered


def test_allocations_are_previewed_before_they_are_stored(tmp_path: Path) -> None:
    make.make_portfolio("BOOK")
    make.make_asset("ACME")
    path = write_file(tmp_path, ALLOCATIONS, "BOOK,ACME,90,80,100,5,monthly", "BOOK,CASH,10,,,,")
    (target,) = (target for target in upload_targets() if target.name == "allocations")
    actor = make.make_superuser()
    with nothing_written():
        report = target.importer(path, actor=actor, on_error="abort").run(preview=True)
    assert (report.created, report.rejected) == (2, [])
    target.importer(path, actor=None, on_error="abort").run()
    assert PortfolioAllocation.objects.get().target_percentage == 90
