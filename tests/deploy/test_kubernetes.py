"""The manifests are what a cluster takes, of every version that we name, and pods are as restricted as they can be."""

import datetime
import json
import os
import re

import kubernetes_validate
import pytest
import yaml

import kustomize
from shipped import (
    CRON_JOBS, DEPLOY, JOB, OVERLAYS, by_tool, chart, container, job, job_spec, kustomized, needs, one, overlay, pod_spec, said, templates,
    variables,
)

VERSIONS = [version for version in kubernetes_validate.utils.all_versions() if int(version.split(".")[1]) >= 31]

# Volumes that the profile `restricted` of the Pod Security Standards allows.
ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}

# What a person would write: their own overlay, with all components at once.
OWN = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: scoring
resources:
  - {k8s}/overlays/gpu
components:
  - {k8s}/components/sharded
  - {k8s}/components/pushgateway
  - {k8s}/components/monitoring
"""

# Kinds of Prometheus' operator, of which no schema is at hand.
OF_THE_OPERATOR = {"PrometheusRule", "ServiceMonitor"}

KINDS = [*OVERLAYS, "own", "chart", "chart-gpu-sharded"]


@pytest.fixture(params=KINDS)
def objects(request, tmp_path, built):
    """What is applied, in each of its forms."""
    if request.param == "own":
        relative = os.path.relpath(DEPLOY / "k8s", tmp_path)
        (tmp_path / "kustomization.yaml").write_text(OWN.format(k8s=relative))
        return kustomized(tmp_path)
    if request.param == "chart":
        return chart(built)
    if request.param == "chart-gpu-sharded":
        return chart(built, device="cuda", shards=4, pushgateway="http://pushgateway:9091")
    return overlay(request.param)


def comparable(manifest):
    """An object without what the two renderings are free to differ in: digests in names, and the order of variables."""
    text = re.sub(r"(batch-infer-(?:jobs|configs|places))-[0-9a-z]{10}", r"\1", json.dumps(manifest, sort_keys=True))
    plain = json.loads(text)
    for _, template in templates([plain]):
        for each in template["spec"]["containers"]:
            each.get("env", []).sort(key=lambda entry: entry["name"])
    return json.dumps(plain, sort_keys=True)


@pytest.mark.parametrize("name", [*OVERLAYS, "own"])
def test_our_part_of_kustomize_is_like_the_whole(name, tmp_path):
    tool = needs("kubectl", "kustomize")
    folder = DEPLOY / "k8s" / "overlays" / name
    if name == "own":
        folder = tmp_path
        (folder / "kustomization.yaml").write_text(OWN.format(k8s=os.path.relpath(DEPLOY / "k8s", folder)))
    ours, theirs = kustomize.render(folder), by_tool(tool, folder)
    assert sorted(map(comparable, ours)) == sorted(map(comparable, theirs))


def test_every_version_from_1_31_takes_every_object(objects):
    assert VERSIONS[0].startswith("1.31") and len(VERSIONS) >= 7
    for version in VERSIONS:
        for manifest in (each for each in objects if each["kind"] not in OF_THE_OPERATOR):
            kubernetes_validate.validate(manifest, version, strict=True)


def test_objects_are_there_once(objects):
    named = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in objects]
    assert len(named) == len(set(named))
    assert {"CronJob", "ConfigMap", "ServiceAccount", "NetworkPolicy"} <= {kind for kind, _ in named}


def test_what_a_pod_refers_to_is_applied_with_it(objects):
    maps = {manifest["metadata"]["name"]: manifest for manifest in objects if manifest["kind"] == "ConfigMap"}
    assert all(re.search(r"-[0-9a-z]{10}$", name) and maps[name]["immutable"] for name in maps)
    for name in CRON_JOBS:
        pod, run = pod_spec(objects, name), container(objects, name)
        mounted = {volume["name"]: volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
        read = [source["configMapRef"]["name"] for source in run.get("envFrom", []) if "configMapRef" in source]
        assert {*mounted.values(), *read} == set(maps), "each ConfigMap is used, and each that is used is there"
        one(objects, "ServiceAccount", pod["serviceAccountName"])

        # The files that the command line names lie where it looks for them.
        mounts = {mount["mountPath"]: mount["name"] for mount in run["volumeMounts"]}
        for flag in ("--config", "--job"):
            (path,) = [argument.split("=", 1)[1] for argument in run["args"] if argument.startswith(flag + "=")]
            folder, file = path.rsplit("/", 1)
            text = maps[mounted[mounts[folder]]]["data"][file]
            (shipped,) = DEPLOY.parent.glob(f"[cj]o*/{file}")
            assert text.strip() == shipped.read_text().strip()


def test_variables_in_arguments_are_known(objects):
    maps = [manifest for manifest in objects if manifest["kind"] == "ConfigMap"]
    for name in CRON_JOBS:
        known = {*variables(objects, name)}.union(*(manifest["data"] for manifest in maps))
        for argument in container(objects, name)["args"]:
            assert set(re.findall(r"\$\((\w+)\)", argument)) <= known


def test_what_is_missing_is_scored_from_and_to_the_same_places(objects):
    scheduled, missing = (container(objects, name) for name in CRON_JOBS)
    assert scheduled["args"] == ["run", *missing["args"]]
    # As the container sees it: Kubernetes makes $(...) of $$(...), and leaves alone what is no variable's name.
    shell, flag, script, *rest = [word.replace("$$(", "$(") for word in missing["command"]]
    shown = said(shell, flag, script.replace("exec batch-infer", "echo"), *rest, *missing["args"], env={"PATH": os.environ["PATH"]})
    words = shown.split()
    assert words[0] == "backfill" and words[1:-3] == missing["args"] and words[-3] == "--only=missing"
    first, last = (datetime.date.fromisoformat(word.split("=")[1]) for word in words[-2:])
    today = datetime.datetime.now(datetime.timezone.utc).date()
    schedule = job()["schedule"]
    assert schedule["timezone"] == "UTC" and last == today + datetime.timedelta(days=schedule["date_offset_days"])
    assert (last - first).days == 2
    # One pod does that, also where a date is shared by several.
    assert "completionMode" not in job_spec(objects, CRON_JOBS[1])
    for name in CRON_JOBS:
        assert job_spec(objects, name)["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == (
            "scheduled" if name == JOB else "missing"
        )


def test_pods_fit_the_restricted_profile(objects):
    for name, template in templates(objects):
        pod = template["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod), name
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for volume in pod["volumes"]:
            assert set(volume) - {"name"} <= ALLOWED_VOLUMES, name
            assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"], name
        for each in [*pod["containers"], *pod.get("initContainers", [])]:
            security = each["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert not any("hostPort" in port for port in each.get("ports", [])), name


def test_no_pod_gets_a_token_for_the_cluster(objects):
    for name, template in templates(objects):
        assert template["spec"]["automountServiceAccountToken"] is False, name
        # A Service called batch-infer would else set variables that look like ours.
        assert template["spec"]["enableServiceLinks"] is False, name
    assert one(objects, "ServiceAccount")["automountServiceAccountToken"] is False


def test_only_what_serves_has_probes(objects):
    for name, template in templates(objects):
        for each in template["spec"]["containers"]:
            probes = {key for key in each if key.endswith("Probe")}
            assert bool(probes) == bool(each.get("ports")), name


def bytes_of(quantity):
    count, unit = re.fullmatch(r"(\d+)([KMG]i)", quantity).groups()
    return int(count) << {"Ki": 10, "Mi": 20, "Gi": 30}[unit]


def test_memory_is_reserved_whole_and_a_gpu_is_asked_for_with_its_toleration(objects):
    resources = container(objects)["resources"]
    assert bytes_of(resources["requests"]["memory"]) == bytes_of(resources["limits"]["memory"]), "else the machine may run out first"
    assert int(resources["requests"]["cpu"]) <= int(resources["limits"]["cpu"])
    gpu = "nvidia.com/gpu" in resources["limits"]
    tolerated = [toleration["key"] for toleration in pod_spec(objects).get("tolerations", [])]
    assert gpu == ("nvidia.com/gpu" in tolerated) == (variables(objects)["BATCH_INFER_DEVICE_KIND"] == "cuda")
    assert gpu == container(objects)["image"].endswith("-cuda")


def test_runs_reach_names_the_store_and_nothing_else(objects):
    labels = job_spec(objects)["template"]["metadata"]["labels"]
    policies = [manifest["spec"] for manifest in objects if manifest["kind"] == "NetworkPolicy"]
    ours = [policy for policy in policies if policy["podSelector"]["matchLabels"].items() <= labels.items()]
    assert any(policy["policyTypes"] == ["Ingress", "Egress"] and policy["ingress"] == [] for policy in ours)
    ports = {port["port"] for policy in ours for rule in policy["egress"] for port in rule["ports"]}
    pushes = "BATCH_INFER_METRICS_PUSHGATEWAY" in variables(objects)
    assert ports == {53, 80, 443, 9000} | ({9091} if pushes else set())
    for policy in ours:
        for rule in policy["egress"]:
            for peer in rule.get("to", []):
                block = peer.get("ipBlock", {})
                assert block.get("cidr") != "0.0.0.0/0" or "169.254.169.254/32" in block["except"], "the machine's metadata"


def test_the_operator_is_given_our_rules_and_a_scrape_of_the_gateway():
    folder = DEPLOY / "k8s" / "components"
    rule = yaml.safe_load((folder / "monitoring" / "prometheusrule.yaml").read_text())
    assert rule["spec"] == yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    monitor = yaml.safe_load((folder / "monitoring" / "servicemonitor.yaml").read_text())["spec"]
    service = one(list(yaml.safe_load_all((folder / "pushgateway" / "pushgateway.yaml").read_text())), "Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["honorLabels"] is True
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]


def test_a_service_and_its_pods_have_the_same_labels(objects):
    for service in (manifest for manifest in objects if manifest["kind"] == "Service"):
        selected = [
            template
            for _, template in templates(objects)
            if service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        ]
        assert len(selected) == 1


def plain(objects, cron_job):
    """A pod without the names that are its release's own, and with the places filled in."""
    pod, run = dict(pod_spec(objects, cron_job)), dict(container(objects, cron_job))
    for own in ("containers", "volumes", "serviceAccountName"):
        del pod[own]
    run.pop("envFrom")
    run["args"] = [argument.replace("$(BUCKET)", "s3://bucket") for argument in run["args"]]
    run["env"] = sorted((entry for entry in run["env"] if entry["name"] != "AWS_REGION"), key=str)
    return pod | {"container": run}


def test_the_chart_makes_what_the_overlays_make(built):
    for name, values in {"cpu": {}, "gpu": {"device": "cuda"}, "sharded": {"shards": 4}}.items():
        ours, charted = overlay(name), chart(built, **values)
        for cron_job in CRON_JOBS:
            cron = dict(one(ours, "CronJob", cron_job)["spec"], jobTemplate=None)
            assert dict(one(charted, "CronJob", cron_job)["spec"], jobTemplate=None) == cron
            assert dict(job_spec(charted, cron_job), template=None) == dict(job_spec(ours, cron_job), template=None)
            assert plain(charted, cron_job) == plain(ours, cron_job)


def test_the_chart_refuses_values_that_contradict_the_job_file(built):
    for values in ({"schedule": "0 3 * * *"}, {"timeZone": "Europe/Berlin"}, {"release": "another"}):
        with pytest.raises(AssertionError, match="job"):
            chart(built, **values)
