"""The image, the compose file and the units of systemd are what their tools accept, and fit the program."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading

import pytest
import yaml

from shipped import DEPLOY, JOB, REPOSITORY, commands, needs, program, said, settings

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
UNITS = sorted((DEPLOY / "systemd").glob("batch-infer*.[st]*"))


def version():
    return re.search(r'^version = "(.*)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]


def test_the_dockerfile_has_no_fault_that_a_linter_knows():
    said(needs("hadolint"), str(DOCKERFILE))


def test_what_the_dockerfile_copies_is_here_and_not_ignored():
    text = DOCKERFILE.read_text()
    ignored = [line.rstrip("/") for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    copied = re.findall(r"^COPY (?!--from)(\S+) ", text, re.MULTILINE)
    assert set(copied) == {"scripts/libtorch", "."}
    for needed in ("scripts/libtorch", "Cargo.toml", "Cargo.lock", "build.rs", "src/main.rs", "benches/line.rs", ".cargo/config.toml"):
        assert (REPOSITORY / needed).exists()
        assert needed.split("/")[0] not in ignored and needed not in ignored
    # Stages are named before they are used.
    stages = []
    for line in text.splitlines():
        if found := re.match(r"FROM (\S+) AS (\S+)$", line):
            assert found[1].startswith("${") or found[1] in stages, line
            stages.append(found[2])
        if found := re.match(r"COPY --from=(\S+) ", line):
            assert found[1] in stages, line
    assert stages[-1] == "cpu", "what is built without --target"


def test_the_image_has_the_rust_that_the_package_needs_and_the_libraries_that_the_binary_looks_for():
    text = DOCKERFILE.read_text()
    (rust,) = re.findall(r"^ARG RUST_IMAGE=rust:([\d.]+)-", text, re.MULTILINE)
    needed = re.search(r'^rust-version = "(.*)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert rust == needed
    packaged = re.search(r'^const PACKAGED: &str = "\$ORIGIN/(.*)/torch/lib";$', (REPOSITORY / "build.rs").read_text(), re.MULTILINE)[1]
    (binary,) = re.findall(r"^COPY --from=builder \S+ (\S+)$", text, re.MULTILINE)
    places = re.findall(r"^COPY --from=\w+-libraries /opt/runtime (\S+)$", text, re.MULTILINE)
    assert len(places) == 2
    assert {os.path.normpath(os.path.join(os.path.dirname(binary), packaged))} == set(places)


def test_the_image_ends_without_rights_and_with_our_process_first():
    last = DOCKERFILE.read_text().split("\nFROM ")
    for stage in last[-2:]:
        assert stage.rstrip().endswith("USER 10001:10001")
    assert '\nENTRYPOINT ["batch-infer"]\n' in DOCKERFILE.read_text()


def test_every_file_names_the_version_of_the_package():
    for file in [path for path in DEPLOY.rglob("*") if path.is_file()] + [REPOSITORY / "README.md"]:
        for found in re.findall(r"batch-infer:(\d+\.[\d.]+)", file.read_text()):
            assert found == version(), file
    described = yaml.safe_load((DEPLOY / "helm" / "batch-infer" / "Chart.yaml").read_text())
    assert described["appVersion"] == version()


def test_the_compose_files_fit_their_schema():
    compose = DEPLOY / "compose"
    files = [str(compose / "compose.yaml"), str(compose / "gpu.yaml")]
    said(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", *files)


def test_what_compose_mounts_is_here_and_nothing_is_open_to_the_network():
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    for name, service in services["services"].items():
        for mount in service["volumes"]:
            source = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", mount).split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / "compose" / source).exists(), mount
            else:
                assert source in services["volumes"], mount
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:"), name
        assert service["cap_drop"] == ["ALL"], name
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][0]
    (target,) = scraped["static_configs"][0]["targets"]
    listen = services["services"]["batch-infer"]["environment"]["BATCH_INFER_DAEMON_LISTEN"]
    assert target == f"batch-infer:{listen.split(':')[1]}"


class Answers(http.server.BaseHTTPRequestHandler):
    """A daemon's /livez that is well, or not."""

    def do_GET(self):
        self.send_response(self.server.status if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_compose_knows_a_daemon_that_is_well_from_one_that_is_not_and_from_none():
    service = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]["batch-infer"]
    kind, *command = service["healthcheck"]["test"]
    assert kind == "CMD"
    port = service["environment"]["BATCH_INFER_DAEMON_LISTEN"].split(":")[1]
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = [word.replace(port, str(server.server_port)) for word in command]
        for server.status, well in ((200, True), (503, False)):
            assert (subprocess.run(here, check=False, timeout=30).returncode == 0) == well
        server.shutdown()
    assert subprocess.run(here, check=False, timeout=30, stderr=subprocess.DEVNULL).returncode != 0


@pytest.fixture
def units(tmp_path):
    """The units with programs that are here, since systemd looks for those of the machine."""
    for unit in UNITS:
        if unit.suffix in (".service", ".timer"):
            text = unit.read_text().replace("/usr/local/bin/batch-infer", os.environ["BATCH_INFER_BIN"])
            (tmp_path / unit.name).write_text(text)
    return tmp_path


def test_systemd_understands_every_line_of_every_unit(units):
    analyze = needs("systemd-analyze")
    found = sorted(units.iterdir())
    assert [unit.name for unit in found] == ["batch-infer.service", "batch-infer@.service", "batch-infer@.timer"]
    for unit in found:
        # An unknown key is a warning to systemd, and a line that does nothing.
        shown = said(analyze, "verify", "--man=no", str(unit), stderr_too=True)
        assert unit.name not in shown, shown


def test_services_are_hardly_exposed(units):
    analyze = needs("systemd-analyze")
    for unit in units.glob("*.service"):
        # 10 is a service with all rights of root; the program needs the network, and memory that it may write and execute.
        said(analyze, "security", "--offline=yes", "--threshold=20", "--no-pager", str(unit))


def test_both_services_are_hardened_in_the_same_way():
    hardening = []
    for unit in DEPLOY.glob("systemd/*.service"):
        text = unit.read_text()
        hardening.append(text[text.index("ReadWritePaths=") :].split("\n\n")[0].splitlines())
    plain = [[line for line in lines if line and not line.startswith("#")] for lines in hardening]
    assert plain[0] == plain[1] and len(plain[0]) > 20


def names():
    """Our variables that files of deploy/ set or name."""
    found = {}
    for file in (path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix in (".yaml", ".env", ".service", ".py")):
        for name in re.findall(r"\bBATCH_INFER_[A-Z_]+\b", file.read_text()):
            found.setdefault(name, file.name)
    # What compose itself is told.
    return {name: file for name, file in found.items() if name not in ("BATCH_INFER_HOME", "BATCH_INFER_UID", "BATCH_INFER_GID")}


def test_the_program_knows_every_variable_that_is_set_for_it():
    if "daemon" not in commands():
        pytest.skip("NOT TESTED: this binary has no daemon yet")
    known = {f"BATCH_INFER_{key.replace('.', '_').upper()}" for key in settings("full.toml")}
    for command in commands() - {"help"}:
        known |= set(re.findall(r"\[env: (\w+)=", program(command, "--help")))
    # A run without a date names the variables that would give one.
    refused = subprocess.run(
        [os.environ["BATCH_INFER_BIN"], "plan", "--job", f"jobs/{JOB}.toml"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    known |= set(re.findall(r"\bBATCH_INFER_[A-Z_]+\b", refused.stderr))
    unknown = {name: file for name, file in names().items() if name not in known}
    assert not unknown
    # The port that compose, Prometheus and the guide name is the one on which the daemon listens by itself.
    port = settings("full.toml")["daemon.listen"].split(":")[1]
    for file in ("deploy/compose/compose.yaml", "deploy/prometheus/prometheus.yml", "docs/operations.md"):
        assert port in (REPOSITORY / file).read_text(), file


def test_the_program_has_every_command_and_flag_that_is_used():
    used = {("run", "--config"), ("run", "--job"), ("run", "--set")}
    if "daemon" in commands():
        used |= {("daemon", "--config"), ("run", "--summary-file"), ("backfill", "--only"), ("backfill", "--from"), ("backfill", "--to"), ("backfill", "--plan"), ("backfill", "--within")}
    for command, flag in used:
        assert flag in program(command, "--help"), (command, flag)


def test_settings_of_today_are_known():
    shown = json.loads(program("config", "show", "--format", "json", BATCH_INFER_RUN_MAX_RUNTIME="3h", BATCH_INFER_DEVICE_KIND="cpu", BATCH_INFER_RUN_SHARDS="4"))
    given = {setting["key"] for setting in shown if setting["origin"] != "default"}
    assert given == {"run.max_runtime", "device.kind", "run.shards"}
