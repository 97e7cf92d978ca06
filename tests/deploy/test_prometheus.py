"""Alert rules and dashboard are understood by Prometheus, do what they say, and ask only for metrics that there are."""

import json
import re

import pytest
import yaml

from shipped import DEPLOY, REPOSITORY, needs, said

RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "batch-infer.json"

# What others show: Prometheus of its scrapes, the Pushgateway of a group, kube-state-metrics of a cluster.
OF_OTHERS = {
    "up", "push_failure_time_seconds", "push_time_seconds", "kube_cronjob_spec_suspend", "kube_cronjob_status_last_successful_time",
}


def documented():
    """The metrics of docs/operations.md."""
    section = (REPOSITORY / "docs" / "operations.md").read_text().split("\n## Metrics\n")[1]
    names = re.findall(r"^\| `(batch_infer_\w+)` \|", section, re.MULTILINE)
    assert len(names) == len(set(names)) > 15
    return set(names)


def asked_for(expression):
    """The metrics of an expression: names that are no function, keyword, label or string."""
    expression = re.sub(r'"[^"]*"', "", expression)
    expression = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", expression)
    expression = re.sub(r"\b(by|without|on|ignoring) *\([^)]*\)", "", expression)
    names = set(re.findall(r"[a-z_]\w*(?!\w*\s*\()", expression))
    return names - {"and", "or", "unless", "bool"}


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def test_rules_are_valid_and_do_in_time_what_their_tests_say():
    promtool = needs("promtool")
    said(promtool, "check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    said(promtool, "test", "rules", str(REPOSITORY / "tests" / "deploy" / "alerts.test.yml"))


def test_every_rule_is_tried_in_time():
    tried = (REPOSITORY / "tests" / "deploy" / "alerts.test.yml").read_text()
    fired = re.findall(r"alertname: (\w+)\n        exp_alerts:", tried)
    assert set(fired) == {rule["alert"] for rule in rules()}


def test_the_configuration_of_prometheus_is_valid_and_scrapes_what_the_alerts_look_at():
    file = DEPLOY / "prometheus" / "prometheus.yml"
    said(needs("promtool"), "check", "config", str(file))
    (scrape,) = yaml.safe_load(file.read_text())["scrape_configs"]
    (down,) = [rule for rule in rules() if rule["alert"] == "BatchInferDaemonDown"]
    assert f'job="{scrape["job_name"]}"' in down["expr"]


def test_what_is_commented_out_of_the_configuration_is_valid(tmp_path):
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    code = [line[4:] for line in text.splitlines() if re.match(r"  # ( |- job_name)", line)]
    (tmp_path / "prometheus.yml").write_text("scrape_configs:\n" + "\n".join("  " + line for line in code))
    said(needs("promtool"), "check", "config", str(tmp_path / "prometheus.yml"))
    assert {scrape["job_name"] for scrape in yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"]} == {
        "pushgateway", "node",
    }


def test_every_alert_says_what_to_do_where_a_reader_finds_it():
    guide = (REPOSITORY / "docs" / "operations.md").read_text()
    anchors = set(re.findall(r'<a id="([a-z]+)">', guide))
    anchors |= {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.*)$", guide, re.MULTILINE)}
    for rule in rules():
        page, anchor = rule["annotations"]["runbook"].split("#")
        assert page == "docs/operations.md" and anchor in anchors, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]


def test_alerts_and_dashboard_ask_for_documented_metrics_only():
    known = documented() | OF_OTHERS
    for rule in rules():
        assert asked_for(rule["expr"]) <= known, rule["alert"]
    for panel in panels():
        for target in panel["targets"]:
            assert asked_for(target["expr"]) <= known, panel["title"]


def test_the_program_has_every_documented_metric():
    source = "\n".join(file.read_text() for file in (REPOSITORY / "src").rglob("*.rs"))
    if "last_success_timestamp_seconds" not in source:
        pytest.skip("NOT TESTED: this version of the program has no metrics yet")
    missing = {name for name in documented() if name.removeprefix("batch_infer_") not in source}
    assert not missing


def test_the_dashboard_is_one_that_grafana_can_load(tmp_path):
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"source", "job_name", "model"}
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(identities) == len(set(identities))
    # Every expression is PromQL, with the variables filled in.
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    filled = [re.sub(r"\$\w+", ".*", expression) for expression in expressions]
    records = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(filled)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    said(needs("promtool"), "check", "rules", str(tmp_path / "panels.yml"))


def test_panels_do_not_overlap_and_use_the_source_that_is_chosen():
    taken = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${source}", panel["title"]


def test_grafana_is_given_the_source_and_the_dashboard():
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    chosen = json.loads(DASHBOARD.read_text())["templating"]["list"][0]["current"]["value"]
    assert source["uid"] == chosen and source["type"] == "prometheus"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "batch-infer.yml").read_text())["providers"]
    mounts = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    assert f"../grafana/dashboards:{provider['options']['path']}:ro" in mounts
