"""The schema as the running engine has it: there and back again, and the names others rely on."""

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from portfolios.models import AuditEvent, Currency
from tests.support import factories as make

FACTS = {
    "currencies": "code name minor_units",
    "assets": "symbol exchange name asset_class currency isin sector country lot_size is_active",
    "price_bars": "asset date open high low close volume source",
    "exchange_rates": "base quote date rate source",
    "corporate_actions": "asset ex_date kind ratio amount",
    "interest_rates": "name date annual_rate",
    "portfolios": "code name base_currency inception_date cost_method status risk_free",
    "transactions": """
        portfolio kind status trade_date settle_date asset quantity price amount fee tax currency
        fx_rate source external_id""",
    "portfolio_access": "portfolio user group role",
    "households": "code name",
    "request_keys": "user key action request_hash answer created_at",
    "file_uploads": "target file_name sha256 status preview report uploaded_by batch",
    "data_findings": """
        asset date kind severity detail measure related_date status note first_seen_at last_seen_at
        decided_by""",
    "audit_events": """
        sequence occurred_at actor action object_type object_id portfolio before after reason
        request_id previous_hash hash""",
    "import_batches": "file_name sha256 layout read created unchanged rejected rejects",
    "stale_marks": "portfolio asset currency series from_date cause",
}
ANALYTICS = {
    "portfolio_performance_history": """
        return_1m return_3m return_6m return_1y return_3y return_5y portfolio snapshot_date
        total_value invested_value cash_value cost_basis net_flow cumulative_net_flow realized_pnl
        unrealized_pnl income fees taxes daily_return twr_index cumulative_return return_ytd
        annualized_return money_weighted_return volatility downside_deviation sharpe_ratio
        sortino_ratio max_drawdown current_drawdown var_95 var_99 beta alpha benchmark
        benchmark_return benchmark_cumulative_return excess_return tracking_error information_ratio""",
    "asset_performance_metrics": """
        return_1m return_3m return_6m return_1y return_3y return_5y asset calculation_date close
        sma_20 sma_50 sma_200 ema_12 ema_26 rsi_14 macd macd_signal macd_histogram bollinger_upper
        bollinger_middle bollinger_lower atr_14 stochastic_k stochastic_d obv volatility_20d
        volatility_1y beta_1y sharpe_ratio_1y max_drawdown_1y return_1d""",
    "portfolio_allocations": """
        portfolio asset target_percentage min_percentage max_percentage rebalance_threshold
        rebalance_threshold_relative rebalance_frequency is_active version""",
    "rebalancing_events": """
        portfolio event_type status trigger pre_state post_state actions proposal_hash
        estimated_cost actual_cost estimated_tax actual_tax turnover drift_before drift_after
        requested_by approved_by created_at approved_at completed_at expires_at version""",
    "portfolio_risk_metrics": """
        portfolio calculation_date sharpe_ratio sortino_ratio treynor_ratio calmar_ratio
        max_drawdown max_drawdown_duration current_drawdown var_95_1d var_99_1d var_95_1m var_99_1m
        cvar_95_1d cvar_99_1d cvar_95_1m cvar_99_1m risk_level risk_class concentration_hhi
        effective_assets largest_weight_percentage average_correlation max_correlation
        diversification_ratio volatility var_method observations effective_bets""",
    "portfolio_var_backtests": """
        portfolio calculation_date method level var cvar window observations exceptions expected
        kupiec_lr kupiec_p christoffersen_lr christoffersen_p joint_lr joint_p zone zone_exceptions""",
    "portfolio_risk_contributions": """
        portfolio asset calculation_date weight volatility marginal_var component_var
        component_var_percentage component_volatility method""",
    "asset_correlations": """
        asset1 asset2 calculation_date correlation_1m correlation_3m correlation_6m correlation_1y
        correlation_3y rolling_20d rolling_60d q_value_1y is_significant p_value_1m observations_1m
        p_value_3m observations_3m p_value_6m observations_6m p_value_1y observations_1y p_value_3y
        observations_3y p_value_20d observations_20d p_value_60d observations_60d""",
    "portfolio_benchmarks": """
        portfolio asset is_primary start_date is_active tracking_error information_ratio beta alpha
        excess_return correlation r_squared up_capture down_capture calculated_at window""",
    "blended_benchmarks": "asset rebalance_frequency start_date",
    "blend_components": "blend asset weight_percentage",
    "rebalancing_policies": """
        portfolio mode cash_target_percentage cash_reserve minimum_trade fee_per_trade cost_rate
        turnover_cap lot_method band_destination cool_off_days approvals_needed""",
    "analytics_runs": "status requested_by done total stage started_at finished_at error heartbeat_at",
    "analytics_run_chunks": "run number kind work status rows issues",
    "approvals": "event user decision level proposal_hash note maker is_automatic",
    "proposal_versions": "event version inputs proposal proposal_hash created_by created_at reason",
    "rebalancing_orders": """
        event position asset side quantity filled_quantity price lots venue client_order_id status sent_at""",
    "order_fills": "order venue_fill_id quantity price fee tax filled_on is_excess transaction",
    "cash_reserves": "portfolio kind amount due_date note owner created_at ended_on ended_by",
    "minimum_trades": "policy asset_class amount percentage",
    "trading_restrictions": """
        portfolio asset issuer sector kind unit minimum maximum starts_on ends_on owner reason version""",
    "change_requests": """
        kind portfolio payload before content_hash effective_from reason status requested_by decided_by""",
    "restatements": "table_name portfolio asset row_date changes cause causes run",
}
OF_EVERY_COMPUTED_ROW = "run inputs_hash engine_version quality"
COMPUTED = {
    "portfolio_performance_history",
    "asset_performance_metrics",
    "portfolio_allocations",
    "portfolio_risk_metrics",
    "portfolio_var_backtests",
    "portfolio_risk_contributions",
    "asset_correlations",
    "portfolio_benchmarks",
}
OF_FRAMEWORKS = ("auth_", "authtoken_", "django_")


def own_tables() -> set[str]:
    return {name for name in connection.introspection.table_names() if not name.startswith(OF_FRAMEWORKS)}


def columns_of(table: str) -> set[str]:
    with connection.cursor() as cursor:
        return {column.name for column in connection.introspection.get_table_description(cursor, table)}


@pytest.mark.django_db
def test_the_tables_are_the_documented_ones() -> None:
    assert own_tables() == FACTS.keys() | ANALYTICS.keys()


@pytest.mark.django_db
@pytest.mark.parametrize(("table", "names"), (FACTS | ANALYTICS).items())
def test_the_documented_columns_are_there(table: str, names: str) -> None:
    columns = columns_of(table)
    if table in COMPUTED:
        names += f" {OF_EVERY_COMPUTED_ROW}"
    assert {name for name in names.split() if name not in columns and f"{name}_id" not in columns} == set()


@pytest.mark.django_db
def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def migrate(*targets: tuple[str, str | None]) -> None:
    """To the targets, or to the end."""
    executor = MigrationExecutor(connection)
    executor.migrate(targets or executor.loader.graph.leaf_nodes())


@pytest.fixture
def whole_again(transactional_db: None) -> Iterator[None]:
    yield
    if own_tables() != FACTS.keys() | ANALYTICS.keys():
        migrate()


def schema() -> dict[str, object]:
    """Columns, constraints and indexes of every table, and the triggers of the audit trail."""
    with connection.cursor() as cursor:
        found: dict[str, object] = {
            table: connection.introspection.get_constraints(cursor, table) | {"": columns_of(table)}
            for table in own_tables()
        }
        catalogue = (
            "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
            if connection.vendor == "postgresql"
            else "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        )
        cursor.execute(catalogue)
        return found | {"triggers": {name for (name,) in cursor.fetchall()}}


def test_back_to_nothing_and_forward_again(whole_again: None) -> None:
    before, currencies = schema(), set(Currency.objects.values_list("code", "name", "minor_units"))
    make.make_correlation(make.make_asset(), make.make_asset())
    make.make_audit_event(make.make_portfolio())
    migrate(("portfolios", None))
    assert own_tables() == set()
    migrate()
    assert schema() == before
    assert set(Currency.objects.values_list("code", "name", "minor_units")) == currencies
    assert not AuditEvent.objects.exists()
