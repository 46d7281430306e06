"""The button that runs the job for selected portfolios, and the page it leads to."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from analytics.models import AnalyticsRun, RunStatus
from analytics.services.runs import RunError
from portfolios.models import Portfolio
from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_reader, url_of

pytestmark = pytest.mark.django_db

LIST = "/admin/portfolios/portfolio/"
REQUEST = "analytics.admin.portfolios.run_request"


class Recorder:
    """Stands in for the service: keeps what it was asked and answers with a run, or with an error."""

    def __init__(self, error: RunError | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.error = error

    def __call__(self, **asked: Any) -> AnalyticsRun:
        self.asked.append(asked)
        if self.error:
            raise self.error
        return make.make_run(*asked["portfolio_codes"])


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(REQUEST, recorder)
    return recorder


def post(client: Client, *portfolios: Portfolio, **more: str) -> Any:
    chosen = [portfolio.pk for portfolio in portfolios]
    return client.post(LIST, {"action": "run_analytics", "_selected_action": chosen, **more})


def test_it_asks_first(service: Recorder) -> None:
    answer = post(client_of(make.make_superuser()), make.make_portfolio("TECH"))
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "<strong>TECH</strong>" in page
    assert "Start the run" in page
    assert service.asked == []


def test_it_starts_one_run_and_leads_to_its_page(service: Recorder) -> None:
    user = make.make_superuser()
    chosen = [make.make_portfolio("B"), make.make_portfolio("A")]
    make.make_portfolio("C")
    client = client_of(user)
    answer = post(client, *chosen, confirmed="yes")
    assert service.asked == [{"actor": user, "portfolio_codes": ["A", "B"]}]
    assert answer.status_code == 302
    assert answer["Location"] == change_url(AnalyticsRun.objects.get())
    assert "was started for A, B" in client.get(answer["Location"]).content.decode()


def test_an_error_of_the_service_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REQUEST, Recorder(RunError("date: there are no prices yet.")))
    client = client_of(make.make_superuser())
    answer = post(client, make.make_portfolio(), confirmed="yes")
    assert "there are no prices yet" in client.get(answer["Location"]).content.decode()
    assert not AnalyticsRun.objects.exists()


def test_a_reader_may_not_run(service: Recorder) -> None:
    reader = make_reader()
    post(client_of(reader), make.make_portfolio(owner=reader), confirmed="yes")
    assert service.asked == []


def test_foreign_portfolios_are_left_out(service: Recorder) -> None:
    runner = make_reader()
    runner.user_permissions.add(Permission.objects.get(codename="add_analyticsrun"))
    own, foreign = make.make_portfolio("OWN", owner=runner), make.make_portfolio("FOREIGN")
    post(client_of(runner), own, foreign, confirmed="yes")
    assert [asked["portfolio_codes"] for asked in service.asked] == [["OWN"]]


def test_only_foreign_portfolios_start_nothing(service: Recorder) -> None:
    runner = make_reader()
    runner.user_permissions.add(Permission.objects.get(codename="add_analyticsrun"))
    post(client_of(runner), make.make_portfolio("FOREIGN"), confirmed="yes")
    assert service.asked == []


@pytest.mark.parametrize(("status", "reloads"), [(RunStatus.RUNNING, True), (RunStatus.SUCCEEDED, False)])
def test_the_page_of_a_run_is_kept_up_to_date_while_it_runs(status: RunStatus, reloads: bool) -> None:
    run = make.make_run(status=status, done=1250, total=2500)
    page = client_of(make.make_superuser()).get(change_url(run)).content.decode()
    assert ("data-progress=" in page) is reloads
    assert ("progress.js" in page) is reloads
    assert '<progress max="2500" value="1250"' in page
    assert "1,250 of 2,500 units" in page


def test_the_page_of_a_portfolio_leads_to_its_rows() -> None:
    mine, other = (make.make_performance(make.make_portfolio()) for _ in range(2))
    client = client_of(make.make_superuser())
    page = client.get(change_url(mine.portfolio)).content.decode()
    link = f"{url_of(mine, 'changelist')}?portfolio={mine.portfolio_id}"
    assert link in page
    assert [row.pk for row in client.get(link).context["cl"].result_list] == [mine.pk]
    assert other.pk != mine.pk
