"""Clusters, timers and schedulers give up on the codes for which a retry cannot help, and on no other."""

import ast
import re

import pytest
import yaml

from shipped import CRON_JOBS, DEPLOY, OVERLAYS, REPOSITORY, chart, container, hopeless, job_spec, overlay, pod_spec, seconds, settings

# In an Indexed Job these are about the rows of one index.
OF_AN_INDEX = [12, 13]


@pytest.fixture(params=[*OVERLAYS, "chart"])
def objects(request, built):
    return chart(built) if request.param == "chart" else overlay(request.param)


@pytest.fixture(params=CRON_JOBS)
def name(request):
    return request.param


def codes(rules, action):
    return [code for rule in rules if rule["action"] == action for code in rule["onExitCodes"]["values"]]


def test_pod_failure_policy_is_the_table_of_exit_codes(objects, name):
    spec = job_spec(objects, name)
    disruption, *rules = spec["podFailurePolicy"]["rules"]
    # The first rule that fits decides: an evicted pod ends with 143 and costs no attempt.
    assert disruption == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    sharded = spec.get("completionMode") == "Indexed"
    assert codes(rules, "FailIndex") == (OF_AN_INDEX if sharded else [])
    assert sorted(codes(rules, "FailIndex") + codes(rules, "FailJob")) == hopeless()
    for rule in rules:
        assert rule["onExitCodes"]["operator"] == "In"
        assert rule["onExitCodes"]["containerName"] == container(objects, name)["name"]
        assert rule["onExitCodes"]["values"] == sorted(set(rule["onExitCodes"]["values"])), "the server refuses another order"


def test_what_the_policy_needs_is_set(objects, name):
    spec = job_spec(objects, name)
    assert pod_spec(objects, name)["restartPolicy"] == "Never", "the server refuses the policy otherwise"
    assert spec["podReplacementPolicy"] == "Failed"
    if spec.get("completionMode") == "Indexed":
        assert "backoffLimit" not in spec, "attempts are counted for each index"
        assert spec["maxFailedIndexes"] == 0 and spec["backoffLimitPerIndex"] >= 1
        shards = [entry["value"] for entry in container(objects, name)["env"] if entry["name"] == "BATCH_INFER_RUN_SHARDS"]
        assert shards == [str(spec["completions"])] and spec["parallelism"] == spec["completions"]
    else:
        assert spec["backoffLimit"] >= 1 and "completions" not in spec


def test_a_run_that_is_asked_to_stop_has_time_for_it(objects, name):
    grace = seconds(settings("k8s.toml")["run.shutdown_grace"])
    assert pod_spec(objects, name)["terminationGracePeriodSeconds"] >= 2 * grace
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    assert seconds(compose["services"]["batch-infer"]["stop_grace_period"]) >= 2 * grace
    for unit in (DEPLOY / "systemd").glob("*.service"):
        (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit.read_text(), re.MULTILINE)
        assert int(stop) >= 2 * grace


def test_systemd_does_not_start_again_what_a_retry_cannot_help():
    unit = (DEPLOY / "systemd" / "batch-infer@.service").read_text()
    (listed,) = re.findall(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE)
    assert [int(code) for code in listed.split()] == hopeless()


def test_argo_and_airflow_do_not_retry_what_a_retry_cannot_help():
    workflow = (DEPLOY / "argo" / "cronworkflow.yaml").read_text()
    (listed,) = re.findall(r"asInt\(lastRetry\.exitCode\) not in (\[.*?\])", workflow)
    assert ast.literal_eval(listed) == hopeless()
    dag = ast.parse((DEPLOY / "airflow" / "batch_infer.py").read_text())
    (constant,) = [node.value for node in dag.body if isinstance(node, ast.Assign) and node.targets[0].id == "HOPELESS"]
    assert sorted(ast.literal_eval(constant)) == hopeless()


def test_the_alert_that_pages_at_once_names_them_but_for_a_run_that_was_overtaken():
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    (rule,) = [rule for group in groups for rule in group["rules"] if rule["alert"] == "BatchInferNeedsRepair"]
    named = [int(code) for code in re.findall(r"batch_infer_last_exit_code == (\d+)", rule["expr"])]
    assert named == [code for code in hopeless() if code != 31]


def test_the_guide_says_of_each_code_what_to_do():
    guide = (REPOSITORY / "docs" / "operations.md").read_text().split("\n## Exit codes\n")[1].split("\n## ")[0]
    told = [int(code) for row in re.findall(r"^\| ([\d, ]+) \|", guide, re.MULTILINE) for code in row.split(", ")]
    readme = (REPOSITORY / "README.md").read_text().split("\n## Exit codes\n")[1].split("\n## ")[0]
    assert sorted(told) == [int(code) for code in re.findall(r"^\| (\d+) \|", readme, re.MULTILINE)]
    (sentence,) = re.findall(r"^Codes (.*) are not tried again", guide, re.MULTILINE)
    assert [int(code) for code in re.findall(r"\d+", sentence)] == hopeless()
