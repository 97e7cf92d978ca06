"""Whatever starts a job does so when the job file says, for the date that the job file says, and late starts lose no date."""

import datetime
import json
import re

import pytest
import yaml

from shipped import DEPLOY, JOB, OVERLAYS, REPOSITORY, commands, job, needs, one, overlay, program, said, seconds

MINUTE = 60


def field(text, lowest, highest):
    """The numbers that a field of a cron line without names means."""
    numbers = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            first, last = lowest, highest
        elif not last:
            last = highest if step else first
        numbers |= set(range(int(first), int(last) + 1, int(step or 1)))
    return numbers


def fires(cron, day, days):
    """Every minute of some days, in UTC, at which a cron line that leaves days and months free is due."""
    minute, hour, *others = cron.split()
    assert others == ["*", "*", "*"], "this test reads daily and more frequent schedules"
    start = datetime.datetime.combine(day, datetime.time(), datetime.timezone.utc)
    every = (start + datetime.timedelta(minutes=number) for number in range(days * 24 * 60))
    return [at for at in every if at.minute in field(minute, 0, 59) and at.hour in field(hour, 0, 23)]


@pytest.fixture(params=OVERLAYS)
def cron_job(request):
    return one(overlay(request.param), "CronJob", JOB)


def test_a_cron_job_has_schedule_and_zone_of_the_job_file(cron_job):
    schedule = job()["schedule"]
    assert cron_job["spec"]["schedule"].split() == schedule["cron"].split()
    assert cron_job["spec"]["timeZone"] == schedule["timezone"]
    assert cron_job["metadata"]["name"] == job()["name"] == JOB
    # The controller appends a dash and 8 to 10 digits, and a label holds 63.
    assert len(cron_job["metadata"]["name"]) <= 52


def test_a_late_start_loses_no_date(cron_job):
    due = fires(cron_job["spec"]["schedule"], datetime.date(2026, 11, 1), 40)
    gaps = [(later - earlier).total_seconds() for earlier, later in zip(due, due[1:])]
    deadline = cron_job["spec"]["startingDeadlineSeconds"]
    if grace := job()["schedule"].get("misfire_grace"):
        assert deadline == seconds(grace)
    else:
        assert 0.9 * min(gaps) < deadline < min(gaps), "a date stays worth computing: almost until the next fire, and not beyond"
    # The controller gives up when it has missed more than 100 starts within the deadline.
    assert deadline / min(gaps) <= 100
    assert cron_job["spec"]["concurrencyPolicy"] == "Forbid"


def test_a_run_has_time_to_say_that_it_was_too_slow_before_the_cluster_ends_it(cron_job):
    spec = cron_job["spec"]["jobTemplate"]["spec"]
    (run,) = spec["template"]["spec"]["containers"]
    (limit,) = [entry["value"] for entry in run["env"] if entry["name"] == "BATCH_INFER_RUN_MAX_RUNTIME"]
    assert spec["activeDeadlineSeconds"] >= int(limit.removesuffix("h")) * 3600 + 600
    due = fires(cron_job["spec"]["schedule"], datetime.date(2026, 11, 1), 3)
    assert spec["activeDeadlineSeconds"] < (due[1] - due[0]).total_seconds(), "a Job is over before the next begins"


def test_what_is_missing_is_looked_for_when_the_night_is_over_and_before_the_next(cron_job):
    missing = one(overlay("cpu"), "CronJob", f"{JOB}-missing")["spec"]
    assert missing["timeZone"] == cron_job["spec"]["timeZone"]
    day = datetime.date(2026, 11, 20)
    (night,), (morning,) = fires(cron_job["spec"]["schedule"], day, 1), fires(missing["schedule"], day, 1)
    limit = datetime.timedelta(seconds=cron_job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"])
    assert night + limit <= morning
    assert morning + limit <= night + datetime.timedelta(days=1)


def test_a_pod_learns_the_scheduled_time_by_the_name_of_its_job(cron_job):
    (run,) = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    paths = {entry["name"]: entry["valueFrom"]["fieldRef"]["fieldPath"] for entry in run["env"] if "valueFrom" in entry}
    assert paths["BATCH_INFER_KUBERNETES_JOB"] == "metadata.labels['batch.kubernetes.io/job-name']"
    assert paths["BATCH_INFER_RUN_KEY"] == "metadata.labels['batch.kubernetes.io/controller-uid']"
    # Nothing else names a date, so that nothing wins over the schedule.
    assert not any(argument.startswith("--date") for argument in run["args"])
    assert not {"BATCH_INFER_DATE", "BATCH_INFER_SCHEDULED_TIME"} & {entry["name"] for entry in run["env"]}


def test_the_name_of_a_job_becomes_the_date_of_the_job_file():
    if "schedule" not in commands():
        pytest.skip("NOT TESTED: this binary has no schedules yet")
    at = datetime.datetime(2026, 11, 20, 2, 0, tzinfo=datetime.timezone.utc)
    # As the controller names a Job: the scheduled minute since 1970.
    name = f"{JOB}-{int(at.timestamp()) // MINUTE}"
    plan = program("plan", "--job", f"jobs/{JOB}.toml", "--format", "json", BATCH_INFER_KUBERNETES_JOB=name)
    expected = at.date() + datetime.timedelta(days=job()["schedule"]["date_offset_days"])
    assert json.loads(plan)["date"] == expected.isoformat() == "2026-11-19"


def test_one_date_by_hand_is_a_job_of_the_same_template(tmp_path):
    kubectl = needs("kubectl")
    template = one(overlay("cpu"), "CronJob", JOB)["spec"]["jobTemplate"]["spec"]
    # What `kubectl create job --from` makes of it, for which it would ask a cluster.
    by_hand = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"{JOB}-of-2026-11-19"}, "spec": template}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(by_hand))
    shown = said(kubectl, "set", "env", "--local", "-f", str(tmp_path / "job.yaml"), "BATCH_INFER_DATE=2026-11-19", "-o", "yaml")
    (run,) = yaml.safe_load(shown)["spec"]["template"]["spec"]["containers"]
    (before,) = template["template"]["spec"]["containers"]
    added = [entry for entry in run["env"] if entry not in before["env"]]
    assert added == [{"name": "BATCH_INFER_DATE", "value": "2026-11-19"}]
    for guide in ("README.md", "docs/operations.md"):
        text = (REPOSITORY / guide).read_text()
        assert "create job --from=cronjob/fraud-detector" in text and "kubectl set env --local -f - BATCH_INFER_DATE=" in text


def test_a_timer_fires_when_the_job_file_says():
    timer = (DEPLOY / "systemd" / "batch-infer@.timer").read_text()
    (calendar,) = re.findall(r"^OnCalendar=(.*)$", timer, re.MULTILINE)
    shown = said(needs("systemd-analyze"), "calendar", "--iterations=3", "--base-time=2026-11-20 00:00:00 UTC", calendar)
    found = re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC$", shown, re.MULTILINE)
    due = fires(job()["schedule"]["cron"], datetime.date(2026, 11, 20), 3)
    assert job()["schedule"]["timezone"] == "UTC"
    assert found == [f"{at:%Y-%m-%d %H:%M:%S}" for at in due]


def test_argo_and_airflow_have_schedule_and_zone_of_the_job_file():
    schedule = job()["schedule"]
    workflow = yaml.safe_load((DEPLOY / "argo" / "cronworkflow.yaml").read_text())["spec"]
    assert workflow["schedules"] == [schedule["cron"]] and workflow["timezone"] == schedule["timezone"]
    dag = (DEPLOY / "airflow" / "batch_infer.py").read_text()
    assert f'CronTriggerTimetable("{schedule["cron"]}", timezone="{schedule["timezone"]}")' in dag
