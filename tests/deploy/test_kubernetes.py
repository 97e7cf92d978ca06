"""The manifests are what a cluster takes, of every version that we name, and pods are as restricted as they can be."""

import json
import os
import re

import kubernetes_validate
import pytest
import yaml

import kustomize
from shipped import (
    CRON_JOBS, DEPLOY, JOB, OVERLAYS, by_tool, chart, container, job_spec, kustomized, needs, one, overlay, pod_spec, templates, variables,
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

OWN_DAEMON = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - {k8s}/overlays/daemon
components:
  - {k8s}/components/monitoring
"""

WRITTEN = {"own": OWN, "own-daemon": OWN_DAEMON}

# Kinds of Prometheus' operator, of which no schema is at hand.
OF_THE_OPERATOR = {"PodMonitor", "PrometheusRule", "ServiceMonitor"}

CRON_KINDS = [*OVERLAYS, "own", "chart", "chart-gpu-sharded"]
DAEMON_KINDS = ["daemon", "own-daemon"]


def own(name, folder):
    """An overlay of a person's own."""
    (folder / "kustomization.yaml").write_text(WRITTEN[name].format(k8s=os.path.relpath(DEPLOY / "k8s", folder)))
    return folder


def rendered(name, folder, built):
    """What is applied, in one of its forms."""
    if name in WRITTEN:
        return kustomized(own(name, folder))
    if name == "chart":
        return chart(built)
    if name == "chart-gpu-sharded":
        return chart(built, device="cuda", shards=4, pushgateway="http://pushgateway:9091")
    return overlay(name)


@pytest.fixture(params=CRON_KINDS)
def objects(request, tmp_path, built):
    """What is applied where dates are Jobs."""
    return rendered(request.param, tmp_path, built)


@pytest.fixture(params=DAEMON_KINDS)
def daemon(request, tmp_path, built):
    """What is applied where a daemon runs."""
    return rendered(request.param, tmp_path, built)


@pytest.fixture(params=[*CRON_KINDS, *DAEMON_KINDS])
def applied(request, tmp_path, built):
    """What is applied, in each of its forms."""
    return rendered(request.param, tmp_path, built)


def comparable(manifest):
    """An object without what the two renderings are free to differ in: digests in names, and the order of variables."""
    text = re.sub(r"(batch-infer-(?:jobs|configs|places))-[0-9a-z]{10}", r"\1", json.dumps(manifest, sort_keys=True))
    plain = json.loads(text)
    for _, template in templates([plain]):
        for each in template["spec"]["containers"]:
            each.get("env", []).sort(key=lambda entry: entry["name"])
    return json.dumps(plain, sort_keys=True)


@pytest.mark.parametrize("name", [*OVERLAYS, "daemon", *WRITTEN])
def test_our_part_of_kustomize_is_like_the_whole(name, tmp_path):
    tool = needs("kubectl", "kustomize")
    folder = own(name, tmp_path) if name in WRITTEN else DEPLOY / "k8s" / "overlays" / name
    ours, theirs = kustomize.render(folder), by_tool(tool, folder)
    assert sorted(map(comparable, ours)) == sorted(map(comparable, theirs))


def test_every_version_from_1_31_takes_every_object(applied):
    assert VERSIONS[0].startswith("1.31") and len(VERSIONS) >= 7
    for version in VERSIONS:
        for manifest in (each for each in applied if each["kind"] not in OF_THE_OPERATOR):
            kubernetes_validate.validate(manifest, version, strict=True)


def test_objects_are_there_once(applied):
    named = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in applied]
    assert len(named) == len(set(named))
    kinds = {kind for kind, _ in named}
    assert {"ConfigMap", "ServiceAccount", "NetworkPolicy"} <= kinds
    assert ("CronJob" in kinds) != ("batch-infer-daemon" in [name for kind, name in named if kind == "Deployment"])


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
    # Which dates these are says the job file, whatever its zone and days.
    assert missing["args"] == ["backfill", "--within=3d", *scheduled["args"][1:]] and scheduled["args"][0] == "run"
    assert "command" not in missing and "command" not in scheduled
    # One pod does that, also where a date is shared by several.
    assert "completionMode" not in job_spec(objects, CRON_JOBS[1])
    for name in CRON_JOBS:
        assert job_spec(objects, name)["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == (
            "scheduled" if name == JOB else "missing"
        )


def test_pods_fit_the_restricted_profile(applied):
    for name, template in templates(applied):
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


def test_no_pod_gets_a_token_for_the_cluster(applied):
    for name, template in templates(applied):
        assert template["spec"]["automountServiceAccountToken"] is False, name
        # A Service called batch-infer would else set variables that look like ours.
        assert template["spec"]["enableServiceLinks"] is False, name
    assert one(applied, "ServiceAccount")["automountServiceAccountToken"] is False


def test_only_what_serves_has_probes(applied):
    for name, template in templates(applied):
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


def test_the_daemon_is_one_pod_with_what_it_needs(daemon):
    deployment = one(daemon, "Deployment")["spec"]
    assert deployment["replicas"] == 1 and deployment["strategy"] == {"type": "Recreate"}
    pod = deployment["template"]["spec"]
    (run,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in run["volumeMounts"]}
    maps = {manifest["metadata"]["name"]: manifest["data"] for manifest in daemon if manifest["kind"] == "ConfigMap"}
    command, jobs, config = run["args"]
    assert command == "daemon" and set(maps[mounts[jobs]["configMap"]["name"]]) == {f"{JOB}.toml"}
    folder, file = config.removeprefix("--config=").rsplit("/", 1)
    assert file in maps[mounts[folder]["configMap"]["name"]]
    claim = mounts[run["workingDir"]]["persistentVolumeClaim"]["claimName"]
    one(daemon, "PersistentVolumeClaim", claim)
    # It listens where probes, Service, policy and scrape look for it.
    given = {entry["name"]: entry["value"] for entry in run["env"]}
    (port,) = run["ports"]
    assert given["BATCH_INFER_DAEMON_LISTEN"] == f"0.0.0.0:{port['containerPort']}"
    for probe, path in {"startup": "/startupz", "readiness": "/readyz", "liveness": "/livez"}.items():
        assert run[f"{probe}Probe"]["httpGet"] == {"path": path, "port": port["name"]}
    (open_port,) = one(daemon, "NetworkPolicy", "batch-infer-daemon")["spec"]["ingress"][0]["ports"]
    assert open_port["port"] == port["containerPort"] == one(daemon, "Service")["spec"]["ports"][0]["port"]
    assert pod["terminationGracePeriodSeconds"] >= 60


def test_a_daemon_is_scraped_under_the_name_that_alerts_know():
    folder = DEPLOY / "k8s"
    monitor = yaml.safe_load((folder / "components/monitoring/podmonitor.yaml").read_text())["spec"]
    pod = yaml.safe_load((folder / "base/daemon/deployment.yaml").read_text())["spec"]["template"]
    assert monitor["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert endpoint["port"] in [port["name"] for port in pod["spec"]["containers"][0]["ports"]] and endpoint["path"] == "/metrics"
    (name,) = endpoint["relabelings"]
    assert name["targetLabel"] == "job" and f'up{{job="{name["replacement"]}"}}' in (DEPLOY / "prometheus" / "alerts.yml").read_text()


def test_a_service_and_its_pods_have_the_same_labels(applied):
    for service in (manifest for manifest in applied if manifest["kind"] == "Service"):
        selected = [
            template
            for _, template in templates(applied)
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
