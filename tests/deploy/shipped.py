"""What deploy/ ships, read for the tests: manifests as a cluster would get them, the table of exit codes, job files, the program's settings.

Manifests are rendered by kubectl or kustomize, or by kustomize.py beside this file, charts by tests/deploy/helm_render: Go templates and Sprig, which is what helm is made of.
Where such a tool is missing, `needs` skips and says so; `.ci/run` installs those that Debian has.
"""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

import jsonschema
import pytest
import yaml

import kustomize

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
CHART = DEPLOY / "helm" / "batch-infer"
OVERLAYS = ["cpu", "gpu", "sharded"]

# The job whose schedule the manifests carry.
JOB = "fraud-detector"
# The CronJobs of a job: the one that its file means, and the one that looks for what that left out.
CRON_JOBS = [JOB, f"{JOB}-missing"]

# Where Debian's packages of Go libraries lie.
GO_LIBRARIES = "/usr/share/gocode"


def find(*commands):
    """The first of these programs that is here."""
    # Programs of Python packages lie beside the interpreter, or beside the packages where pip installed into a folder.
    packaged = [os.path.dirname(sys.executable), os.path.join(sysconfig.get_path("purelib"), "bin")]
    for command in commands:
        found = shutil.which(command) or shutil.which(command, path=os.pathsep.join(packaged))
        if found:
            return found
    return None


def needs(*commands):
    """The first of these that is here; skips the test, and says which are missing, if none is."""
    return find(*commands) or pytest.skip(f"NOT TESTED: {' or '.join(commands)} is not installed")


def said(*command, stderr_too=False, **options):
    """What a command prints that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout + (done.stderr if stderr_too else "")


def program(*arguments, **variables):
    """What batch-infer prints, with these variables and none of ours that happen to be set."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BATCH_INFER_")}
    return said(os.environ["BATCH_INFER_BIN"], *arguments, cwd=REPOSITORY, env=inherited | variables)


@functools.cache
def commands():
    """The commands that the program has."""
    return set(re.findall(r"^  ([a-z]+) ", program("--help"), re.MULTILINE))


@functools.cache
def settings(file):
    """The settings in force with a settings file, by key."""
    shown = json.loads(program("config", "show", "--format", "json", "--config", str(REPOSITORY / "configs" / file)))
    return {setting["key"]: setting["value"] for setting in shown}


def seconds(text):
    """A duration as settings write it."""
    count, unit = re.fullmatch(r"(\d+)(s|m|h|d)", text).groups()
    return int(count) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


@functools.cache
def job():
    """The job file, as TOML."""
    return tomllib.loads((REPOSITORY / "jobs" / f"{JOB}.toml").read_text())


@functools.cache
def hopeless():
    """Exit codes for which a retry cannot help, by the README's table, which tests/it compares with the program."""
    section = (REPOSITORY / "README.md").read_text().split("\n## Exit codes\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \|.*\| (yes|no) \|$", section, re.MULTILINE)
    assert len(rows) > 15
    return [int(code) for code, helps in rows if helps == "no" and code != "0"]


def kustomized(folder):
    """The objects that a kustomization makes, by the real tool or, where there is none, by our part of it."""
    tool = find("kubectl", "kustomize")
    return by_tool(tool, folder) if tool else kustomize.render(pathlib.Path(folder))


def by_tool(tool, folder):
    """The objects that kubectl or kustomize makes."""
    text = said(tool, "kustomize" if tool.endswith("kubectl") else "build", str(folder))
    return list(yaml.safe_load_all(text))


@functools.cache
def overlay(name):
    """The objects of an overlay that we ship."""
    return kustomized(DEPLOY / "k8s" / "overlays" / name)


@functools.cache
def _helm_render(folder):
    binary = folder / "helm_render"
    variables = {"GO111MODULE": "off", "GOPATH": GO_LIBRARIES, "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    source = str(pathlib.Path(__file__).parent / "helm_render" / "main.go")
    said(needs("go"), "build", "-o", str(binary), source, env=os.environ | variables)
    return str(binary)


def chart(folder, release=JOB, **values):
    """The objects of the chart with these values over its own, or the error of a template as an AssertionError."""
    if not pathlib.Path(GO_LIBRARIES, "src/github.com/Masterminds/sprig").is_dir():
        needs("golang-github-masterminds-sprig-dev")
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    files = {"job": (REPOSITORY / "jobs" / f"{JOB}.toml").read_text(), "settings": (REPOSITORY / "configs/k8s.toml").read_text()}
    merged = defaults | files | values
    jsonschema.validate(merged, json.loads((CHART / "values.schema.json").read_text()))
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    world = {
        "Values": merged,
        "Release": {"Name": release, "Namespace": "default", "Service": "Helm"},
        "Chart": {"Name": described["name"], "Version": described["version"], "AppVersion": described["appVersion"]},
    }
    text = said(_helm_render(folder), str(CHART), input=json.dumps(world))
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def one(objects, kind, name=None):
    """The only object of a kind, or of a kind and name."""
    found = [manifest for manifest in objects if manifest["kind"] == kind and name in (None, manifest["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} objects of kind {kind}"
    return found[0]


def templates(objects):
    """Every pod template, with the kind and name of what holds it."""
    for manifest in objects:
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield f"{manifest['kind']}/{manifest['metadata']['name']}", spec["template"]


def job_spec(objects, name=JOB):
    """The Job that a CronJob makes."""
    return one(objects, "CronJob", name)["spec"]["jobTemplate"]["spec"]


def pod_spec(objects, name=JOB):
    """The pod of that Job."""
    return job_spec(objects, name)["template"]["spec"]


def container(objects, name=JOB):
    """The only container of that pod."""
    (only,) = pod_spec(objects, name)["containers"]
    return only


def variables(objects, name=JOB):
    """The variables of that container that have a value."""
    return {entry["name"]: entry.get("value") for entry in container(objects, name)["env"]}
