"""Other gateways are measured beside nginx and ours: only samples of one round are compared, and who cannot run says why."""

import json

import pytest

from bench import against, against_chart
from bench.other_gateways import PEERS, Envoy, LiteLLM, Other, Portkey, envoy_configuration


def sample(near, far=0.0, p50=0.0):
    return {"near_us": near, "far_us": far, "due_us": {"p50": p50, "p99": 2 * p50}}


def a_round(beside, **systems):
    calls = {"nginx": sample(10.0), "written-full": sample(20.0, 5.0), **systems}
    late = {name: sample(1.0, p50=500.0) for name in calls} | {"direct": sample(1.0, p50=100.0)}
    samples = {"calls-1k": calls, "latency": late}
    facts = {
        "at": "2026-11-27T12:00:00+00:00",
        "commit": "abc1234",
        "cores": 2,
        "python": "3.11",
        "nginx": "nginx/1.22",
    }
    return {
        "with": beside,
        "ours": "written-full",
        "rate": 50,
        "streams": 40,
        **facts,
        "samples": samples,
        "not_run": {},
    }


def found_of(*rounds, **more):
    return {"titles": {"envoy": "Envoy", "litellm": "LiteLLM proxy"}, "versions": {"litellm": "1.2"}, "not_run": {}, "rounds": list(rounds), **more}  # fmt: skip


def test_a_figure_is_compared_within_its_round_and_counts_all_processes():
    slow = a_round("litellm", litellm=sample(4_000.0), nginx=sample(20.0))
    found = found_of(a_round("litellm", litellm=sample(5_000.0)), slow)
    assert against_chart.of_nginx(found, "litellm", "calls-1k") == pytest.approx(0.0035)  # of 10 : 5,000 and 20 : 4,000
    assert against_chart.of_ours(found, "litellm", "calls-1k") == 180  # of 5,000 : 25 and 4,000 : 25
    assert against_chart.of_nginx(found, "ours", "calls-1k") == pytest.approx(0.6)  # of 10 : 25 and 20 : 25
    assert against_chart.of_nginx(found, "gateway", "calls-1k") == pytest.approx(0.75)  # of 10 : 20 and 20 : 20
    assert against_chart.of_nginx(found, "litellm", "streams") is None


def test_the_table_names_versions_and_whoever_has_not_run():
    found = found_of(a_round("litellm", litellm=sample(5_000.0)), not_run={"envoy": "there is no network"})
    rows = against_chart.markdown(found).splitlines()
    assert "| LiteLLM proxy 1.2 | 0.002 |  |  | 200 |" in rows
    assert "| LiteLLM proxy, 50 | 0.40 ms | 0.80 ms | 0.40 / 0.80 ms | 0.40 / 0.80 ms |" in rows
    assert rows[-1] == "Not run: Envoy (there is no network)."
    assert against_chart.table(found).endswith("not run: Envoy: there is no network")


def test_the_picture_goes_by_tens_and_follows_a_dark_page():
    drawn = against_chart.svg(found_of(a_round("litellm", litellm=sample(1_000.0))))
    assert (
        '<rect x="210" y="87" width="160.0" height="14" rx="2" class="others"/>' in drawn
    )  # a hundredth: a third of the way
    assert "prefers-color-scheme: dark" in drawn


def test_rounds_are_added_and_who_runs_later_is_no_longer_missing():
    first = against.added({}, [], {}, {"litellm": "there is no Python 3.13 or 3.12 here", "envoy": "no network"})
    second = against.added(first, [a_round("litellm", litellm=sample(5_000.0))], {"litellm": "1.2"}, {})
    assert second["not_run"] == {"envoy": "no network"}
    assert [one["with"] for one in second["rounds"]] == ["litellm"]


def test_without_npm_or_a_python_of_its_own_the_reason_is_told_and_the_rest_goes_on(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("judge.environments.sys.version_info", (3, 9))
    groups: dict[str, list[Other]] = {
        "envoy": [Envoy()],
        "litellm": [LiteLLM()],
        "portkey": [Portkey(), Portkey(mended=True)],
    }
    versions, not_run = against.installed(groups)
    assert versions == {}
    assert not_run == {
        "envoy": "there is no Python 3.11 or 3.12 or 3.13 or 3.14 here",
        "litellm": "there is no Python 3.13 or 3.12 here",
        "portkey": "there is no node and no npm here",
        "portkey-mended": "there is no node and no npm here",
    }
    assert "not run: portkey: there is no node and no npm here" in capsys.readouterr().err


def test_failed_calls_are_no_figure():
    assert against.complaint({"answered": 10, "non2xx": 0, "errors": 0}) == ""
    assert against.complaint({"answered": 10, "non2xx": 10, "errors": 0, "stderr": "HTTP/1.1 500\r\n"}) == "10 calls failed: HTTP/1.1 500"  # fmt: skip
    assert against.complaint({"events_s": 0, "errs": 0}) == "nothing was answered"


def test_all_that_is_installed_is_pinned_with_its_digest_and_never_a_malicious_release():
    for name in ("envoy", "litellm"):
        lines = (PEERS / f"{name}.lock").read_text().splitlines()
        pins = [number for number, line in enumerate(lines) if "==" in line and not line.startswith(" ")]
        assert pins
        assert all("--hash=sha256:" in lines[number + 1] for number in pins)
    assert (PEERS / "litellm.txt").read_text().strip().partition("==")[2] not in {"1.82.7", "1.82.8", "1.107.0"}
    packages = json.loads((PEERS / "portkey/package-lock.json").read_text())["packages"]
    assert all("integrity" in package for place, package in packages.items() if place)


def test_envoy_is_a_plain_proxy_and_once_has_a_limit_before_it():
    def filters(limited):
        listener = envoy_configuration(8000, limited=limited)["static_resources"]["listeners"][0]
        [manager] = listener["filter_chains"][0]["filters"]
        return [one["name"] for one in manager["typed_config"]["http_filters"]]

    assert filters(limited=False) == ["envoy.filters.http.router"]
    assert filters(limited=True) == ["envoy.filters.http.local_ratelimit", "envoy.filters.http.router"]
