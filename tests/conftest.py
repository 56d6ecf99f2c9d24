"""For every test: deterministic hypothesis, and with RENDERLANE_TEST_ALL=1 a skip is a failure."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

import functions
import scripts
import shared

settings.register_profile(
    "renderlane", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("renderlane")


def _import_the_product() -> None:
    """Hypothesis draws constants from every module of ours that is imported: all are, whichever tests are collected."""
    for package in (shared, functions, scripts):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith("shared.client"):
                importlib.import_module(module.name)


_import_the_product()


def _must_run(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With --all a skip is a failure, of a test or of a whole module."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("RENDERLANE_TEST_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and with --all nothing may be: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _must_run(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _must_run(report)
    return report
