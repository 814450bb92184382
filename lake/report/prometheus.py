"""A lake's health in Prometheus' text format, for its node exporter's textfile collector or any scraper."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from lake.report.health import RANK, Health


def prometheus(health: Health) -> str:
    """Every figure as a gauge ``tradelake_<name>{about="..."}``, and ``tradelake_status`` 0 (ok), 1 or 2 for each."""
    registry = CollectorRegistry()
    status = Gauge("tradelake_status", "0 ok, 1 warning, 2 failure", ["check", "about"], registry=registry)
    gauges: dict[str, Gauge] = {}
    for check in health.checks:
        status.labels(check.name, check.about).set(RANK[check.status])
        if check.value is None:
            continue
        if check.name not in gauges:
            gauges[check.name] = Gauge(
                f"tradelake_{check.name}", check.name.replace("_", " "), ["about"], registry=registry
            )
        gauges[check.name].labels(check.about).set(check.value)
    return generate_latest(registry).decode()
