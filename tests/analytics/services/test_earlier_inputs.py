"""Inputs that were stored before lines had a minimum of their own and cash was projected."""

import json
from typing import Any

import pytest

from analytics.services import proposal_documents as documents
from portfolio_site.kernel.canonical import sha256_of_text

# 60 AAA at 100, 10 BBB at 200 and 2,000 in cash; wanted are 50 %, 40 % and 10 %. As it was stored then.
STORED_INPUTS = (
    '{"answer":null,"barred":[],"date":"2024-03-28","engine_version":"3","left_out":[],"lines":[{"alloc'
    'ation":{"lower":"45","max":"100","min":"0","rule":"either","target":"50","upper":"55","version":1}'
    ',"applied":[],"asset":1,"barriers":{},"constrained_target":"0.5","costs":{"commission":"0.001","fx'
    '":"0","spread":"0"},"currency":"USD","daily_value":null,"daily_volatility":null,"exchange":"","lin'
    'e":{"breached":true,"cost_rate":"0.001","destination":"0.5","impact":"0","lot":"1","maximum":"1","'
    'may_buy":true,"may_sell":true,"minimum":"0","price":"100","quantity":"60","symbol":"AAA","target":'
    '"0.5","unassigned":false},"local_price":"100","price_source":{"bar":2,"date":"2024-03-28"},"rate":'
    '"1","rate_date":null,"sector":"","symbol":"AAA","trade_warnings":[]},{"allocation":{"lower":"35","'
    'max":"100","min":"0","rule":"either","target":"40","upper":"45","version":1},"applied":[],"asset":'
    '2,"barriers":{},"constrained_target":"0.4","costs":{"commission":"0.001","fx":"0","spread":"0"},"c'
    'urrency":"USD","daily_value":null,"daily_volatility":null,"exchange":"","line":{"breached":true,"c'
    'ost_rate":"0.001","destination":"0.4","impact":"0","lot":"1","maximum":"1","may_buy":true,"may_sel'
    'l":true,"minimum":"0","price":"200","quantity":"10","symbol":"BBB","target":"0.4","unassigned":fal'
    'se},"local_price":"200","price_source":{"bar":4,"date":"2024-03-28"},"rate":"1","rate_date":null,"'
    'sector":"","symbol":"BBB","trade_warnings":[]}],"policy":{"approvals_needed":1,"approvals_needed_w'
    'hen_large":2,"automatic_approval":false,"automatic_turnover_cap":"0","automatic_value_cap":"0","ba'
    'nd_destination":"target","cash_reserve":"500","cash_reserve_percentage":"0","cash_target_percentag'
    'e":"10","cool_off_days":0,"cost_limit":null,"cost_per_drift":null,"cost_rate":"0.001","expiry_hour'
    's":72,"fee_per_trade":"0","fx_cost_rate":"0","holding_warning_days":0,"impact_coefficient":"0","im'
    'provement_share":null,"inner_band_fraction":"0.5","is_discretionary":true,"large_trade_value":null'
    ',"long_term_days":365,"long_term_tax_rate":"0","lot_method":"book","minimum_trade":"250","minimum_'
    'trade_percentage":"0","mode":"full","price_move_limit":null,"proven_lines":20,"residual_tolerance"'
    ':"0.001","short_term_gain_limit":null,"short_term_tax_rate":"0","solver_seconds":5,"spread_rate":"'
    '0","turnover_cap":null,"two_person_changes":false,"venue":"paper","version":1,"wash_sale_mode":"wa'
    'rn","yearly_gain_budget":null},"portfolio":{"base_currency":"USD","code":"HOME","id":1,"tax_treatm'
    'ent":"taxable"},"restrictions":[],"review":{"reasons":[],"sales":{"AAA":{"long_gain":"0","lots":[{'
    '"cost":"1000","gain":"0","lot":2,"opened":"2024-03-27","quantity":"10","tax":"0","term":"short"}],'
    '"method":"fifo","short_gain":"0","tax":"0"}},"tax":"0","warnings":{},"wash_sales":[]},"rules":{"ca'
    'sh":"2000","cost_limit":null,"cost_per_drift":null,"cost_rate":"0.001","fee_per_trade":"0","gear":'
    '"exact","groups":[],"improvement_share":null,"minimum_trade":"250","mode":"full","proven_lines":20'
    ',"raise_amount":"0","reserve":"500","tax":"0","time_limit":"5.0","turnover_cap":null},"warnings":['
    "]}"
)
STORED_PROPOSAL_SHA256 = "0c81b213f2ed35923d1704dc71c540798f397aea7e56bdac898490e34b4d0ecb"


def stored() -> dict[str, Any]:
    inputs: dict[str, Any] = json.loads(STORED_INPUTS)
    return inputs


def test_the_proposal_of_then_follows_byte_for_byte() -> None:
    proposal = documents.document_bytes(documents.proposal_from_inputs(stored())).decode()
    assert sha256_of_text(proposal) == STORED_PROPOSAL_SHA256
    assert "projected_cash" not in proposal


def test_a_line_of_then_has_no_minimum_of_its_own() -> None:
    assert [line.minimum_trade for line in documents.lines_of(stored())] == [None, None]


def test_a_minimum_or_a_cash_plan_would_have_made_another_proposal() -> None:
    inputs = stored()
    inputs["lines"][0]["line"]["minimum_trade"] = "5000"
    assert [action["symbol"] for action in documents.proposal_from_inputs(inputs)["actions"]] == ["BBB"]
    inputs = stored() | {
        "cash_plan": {"reserve": "500", "settles_on": "2024-04-02", "unsettled": [], "reserves": []}
    }
    assert "projected_cash" in documents.proposal_from_inputs(inputs)


def test_what_every_line_must_have_is_missed() -> None:
    inputs = stored()
    del inputs["lines"][0]["line"]["price"]
    with pytest.raises(TypeError, match="price"):
        documents.proposal_from_inputs(inputs)
