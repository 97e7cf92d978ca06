"""The examples for Airflow and Argo agree with what deploy/k8s applies. Neither is installed here: the DAG is compiled, and imported where Airflow is."""

import importlib.util
import re

import pytest
import yaml

from shipped import DEPLOY, container, overlay, pod_spec

DAG = DEPLOY / "airflow" / "batch_infer.py"


@pytest.fixture
def workflow():
    return yaml.safe_load((DEPLOY / "argo" / "cronworkflow.yaml").read_text())["spec"]


def without_digest(name):
    return re.sub(r"-[0-9a-z]{10}$", "", name)


def test_argo_starts_the_same_pod(workflow):
    ours, spec = overlay("cpu"), workflow["workflowSpec"]
    (template,) = spec["templates"]
    assert spec["entrypoint"] == template["name"]
    run, pod = container(ours), pod_spec(ours)
    for key in ("image", "securityContext", "volumeMounts"):
        assert template["container"][key] == run[key]
    assert spec["securityContext"] == pod["securityContext"]
    assert spec["serviceAccountName"] == pod["serviceAccountName"] and spec["automountServiceAccountToken"] is False
    mounted = [dict(volume, configMap={"name": without_digest(volume["configMap"]["name"])}) if "configMap" in volume else volume for volume in pod["volumes"]]
    assert spec["volumes"] == mounted
    filled = [argument.replace("$(BUCKET)", "s3://bucket") for argument in run["args"]]
    assert set(template["container"]["args"]) - set(filled) == {"--summary-file=/spool/summary.json"}
    assert set(filled) <= set(template["container"]["args"])


def test_argo_hands_over_the_scheduled_time_and_the_summary(workflow):
    (template,) = workflow["workflowSpec"]["templates"]
    variables = {entry["name"]: entry["value"] for entry in template["container"]["env"]}
    assert variables["BATCH_INFER_SCHEDULED_TIME"] == "{{workflow.scheduledTime}}"
    assert variables["BATCH_INFER_RUN_KEY"] == "{{workflow.uid}}"
    (output,) = template["outputs"]["parameters"]
    assert f"--summary-file={output['valueFrom']['path']}" in template["container"]["args"]


def test_the_dag_is_python():
    compile(DAG.read_text(), DAG.name, "exec")


def test_the_dag_starts_the_same_run():
    text = DAG.read_text()
    for argument in container(overlay("cpu"))["args"]:
        assert f'"{argument.replace("$(BUCKET)", "s3://bucket")}"' in text
    assert '"BATCH_INFER_SCHEDULED_TIME": "{{ data_interval_end.isoformat() }}"' in text


def test_the_dag_is_one_that_airflow_can_load():
    if importlib.util.find_spec("airflow") is None:
        pytest.skip("NOT TESTED: airflow is not installed")
    described = importlib.util.spec_from_file_location("dag", DAG)
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    assert module.Score
