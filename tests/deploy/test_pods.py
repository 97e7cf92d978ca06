"""What the pods of the manifests do, with a bucket to read and write: publish the date of the Job's name, twice started, killed, in shards, and late."""

import json
import sys
import time

import boto3
import pyarrow.parquet as pq
import pytest

from kubelet import Job, ended, killed_for_memory
from shipped import CRON_JOBS, JOB, REPOSITORY, commands, hopeless, overlay

sys.path.append(str(REPOSITORY / "tests" / "campaign"))
from server import service  # noqa: E402

DATE = "2026-11-19"
# 2026-11-20 02:00 UTC as the controller writes it, in minutes since 1970; the job scores the day before.
SCHEDULED = f"{JOB}-29919000"
PARTITION = f"predictions/{JOB}/date={DATE}"
ROWS = 3907


class Bucket:
    """The sample features and models where the manifests expect them, in a bucket of a test's own."""

    def __init__(self, variables, name):
        self.name, self.variables = name, variables
        self.client = boto3.client(
            "s3",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )
        self.client.create_bucket(Bucket=name)
        for folder in (f"features/{JOB}", f"models/{JOB}"):
            for file in (REPOSITORY / "sample_data" / folder).rglob("*"):
                if file.is_file():
                    self.client.upload_file(str(file), name, str(file.relative_to(REPOSITORY / "sample_data")))

    def keys(self, prefix):
        listed = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return sorted(entry["Key"] for entry in listed.get("Contents", []))

    def rows(self, folder):
        self.client.download_file(self.name, f"{PARTITION}/part-00000.parquet", str(folder / "part.parquet"))
        return pq.read_metadata(folder / "part.parquet").num_rows

    def commits(self):
        log = self.keys(f"predictions/{JOB}.batch-infer/v1/{JOB}/date={DATE}/log/")
        bodies = [self.client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in log]
        return sum(b'"commit"' in body for body in bodies)


@pytest.fixture(scope="module")
def server():
    with service() as (_, variables):
        yield variables


@pytest.fixture
def bucket(server, request):
    return Bucket(server, request.node.name.replace("_", "-").split("[")[0][:50])


@pytest.fixture
def make(bucket, tmp_path):
    """Makes the Job of a CronJob in an overlay, with the bucket in places.env and the Secret."""

    def made(name, cron_job=JOB, job_name=SCHEDULED):
        objects = overlay(name)
        (places,) = [manifest for manifest in objects if manifest["metadata"]["name"].startswith("batch-infer-places")]
        ours = dict(places, data=places["data"] | {"BUCKET": f"s3://{bucket.name}", "AWS_REGION": bucket.variables["AWS_REGION"]})
        objects = [ours if manifest is places else manifest for manifest in objects]
        return Job(objects, cron_job, job_name, tmp_path, bucket.variables)

    return made


def dated():
    """A binary that does not read names of Jobs yet is given the date, as a Job by hand is."""
    return {} if "schedule" in commands() else {"BATCH_INFER_DATE": DATE}


def test_a_pod_publishes_the_date_of_its_job_and_one_that_was_started_twice_does_no_harm(make, bucket, tmp_path):
    job = make("cpu")
    pods = [job.start(**dated()), job.start(**dated())]
    for pod in pods:
        code, log = ended(pod)
        assert code == 0, log
    assert bucket.keys(PARTITION) == [f"{PARTITION}/_SUCCESS", f"{PARTITION}/part-00000.parquet"]
    assert bucket.rows(tmp_path) == ROWS and bucket.commits() == 1


def test_two_cron_jobs_that_overlap_publish_once(make, bucket, tmp_path):
    pods = [make("cpu").start(**dated()), make("cpu", job_name=f"another-{SCHEDULED}").start(**dated())]
    for pod in pods:
        code, log = ended(pod)
        assert code == 0, log
    assert bucket.rows(tmp_path) == ROWS and bucket.commits() == 1


@pytest.fixture
def small_chunks():
    # 31 chunks of the sample, so that each index has some.
    return {"BATCH_INFER_LINE_CHUNK_ROWS": "128"}


def test_an_index_that_was_lost_is_made_up_for_and_the_date_published_once(make, bucket, tmp_path, small_chunks):
    job = make("sharded")
    indices = int({entry["name"]: entry.get("value") for entry in job.run["env"]}["BATCH_INFER_RUN_SHARDS"])
    pods = [job.start(index, **small_chunks, **dated()) for index in range(indices)]
    killed_for_memory(pods[2])
    assert ended(pods[2])[0] == 137
    for index in (0, 1, 3):
        code, log = ended(pods[index])
        assert code == 0, log
    assert bucket.keys(PARTITION) == [], "nothing is published while an index is missing"
    code, log = ended(job.start(2, **small_chunks, **dated()))
    assert code == 0, log
    assert bucket.rows(tmp_path) == ROWS and bucket.commits() == 1


def test_an_evicted_pod_leaves_in_time_and_the_next_goes_on_where_it_stopped(make, bucket, tmp_path, small_chunks):
    job = make("cpu")
    pod = job.start(**small_chunks, **dated(), FAILPOINTS="part.create.before=sleep(300)")
    plans = f"predictions/{JOB}.batch-infer/v1/{JOB}/date={DATE}/plans/"
    waited_until = time.monotonic() + 180
    while not any(key.endswith(".done.json") for key in bucket.keys(plans)):
        assert pod.poll() is None and time.monotonic() < waited_until, pod.log.read_text()
        time.sleep(0.1)
    pod.terminate()
    code, log = ended(pod, seconds=job.pod["terminationGracePeriodSeconds"])
    assert code == 143 and code not in hopeless(), log
    assert bucket.keys(PARTITION) == []
    code, log = ended(job.start(**small_chunks, **dated()))
    assert code == 0, log
    assert any(json.loads(line).get("resumed", 0) > 0 for line in log.splitlines() if line.startswith("{")), log
    assert bucket.rows(tmp_path) == ROWS and bucket.commits() == 1


def test_a_job_by_hand_without_a_date_is_not_tried_again(make):
    code, log = ended(make("cpu", job_name=f"{JOB}-by-hand").start())
    assert code in hopeless(), log


def test_a_date_without_input_may_be_tried_again(make):
    code, log = ended(make("cpu").start(BATCH_INFER_DATE="2026-11-01"))
    assert code == 14 and code not in hopeless(), log


def test_what_the_night_left_out_is_scored_in_the_morning(make, bucket, tmp_path):
    if "backfill" not in commands():
        pytest.skip("NOT TESTED: this binary has no backfill yet")
    job = make("cpu", cron_job=CRON_JOBS[1])
    # A morning on which the last three days are those of the sample.
    clock = tmp_path / "clock"
    clock.write_text("2026-11-20T08:00:00Z 2026-11-20T08:00:00Z 0")
    code, log = ended(job.start(BATCH_INFER_TEST_CLOCK=str(clock)))
    assert code == 0, log
    assert bucket.rows(tmp_path) == ROWS
    dates = {key.split("date=")[1].split("/")[0] for key in bucket.keys(f"predictions/{JOB}/")}
    assert dates == {"2026-11-17", "2026-11-18", "2026-11-19"}
