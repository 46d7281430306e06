"""Facts: what exists, what it cost, what happened, who may see it."""

from portfolios.models.access import PortfolioAccess, PortfolioRole
from portfolios.models.assets import Asset, AssetClass
from portfolios.models.audit import AuditEvent
from portfolios.models.corporate_actions import CorporateAction, CorporateActionKind
from portfolios.models.currencies import Currency
from portfolios.models.findings import DataFinding, FindingKind, FindingSeverity, FindingStatus
from portfolios.models.households import Household
from portfolios.models.imports import ImportBatch
from portfolios.models.portfolios import (
    CostMethod,
    FlowTiming,
    Portfolio,
    PortfolioStatus,
    TaxTreatment,
    ValuationFrequency,
)
from portfolios.models.prices import PriceBar
from portfolios.models.rates import ExchangeRate, InterestRate
from portfolios.models.request_keys import RequestKey
from portfolios.models.stale_marks import ChangeCause, StaleMark
from portfolios.models.transactions import Transaction, TransactionKind, TransactionStatus
from portfolios.models.uploads import FileUpload, UploadStatus

__all__ = [
    "Asset",
    "AssetClass",
    "AuditEvent",
    "ChangeCause",
    "CorporateAction",
    "CorporateActionKind",
    "CostMethod",
    "Currency",
    "DataFinding",
    "ExchangeRate",
    "FileUpload",
    "FindingKind",
    "FindingSeverity",
    "FindingStatus",
    "FlowTiming",
    "Household",
    "ImportBatch",
    "InterestRate",
    "Portfolio",
    "PortfolioAccess",
    "PortfolioRole",
    "PortfolioStatus",
    "PriceBar",
    "RequestKey",
    "StaleMark",
    "TaxTreatment",
    "Transaction",
    "TransactionKind",
    "TransactionStatus",
    "UploadStatus",
    "ValuationFrequency",
]
