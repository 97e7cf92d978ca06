"""An example for Airflow 3: each night one pod, for the date of the scheduled time. Copy it to the folder of DAGs.

Beside what deploy/k8s applies: its ConfigMaps, Secret and service account are used here (take the names with digest from
`kubectl kustomize deploy/k8s/overlays/cpu`), its CronJob is not. The summary of a run becomes the task's XCom.
"""

from datetime import datetime, timedelta, timezone

from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG
from airflow.timetables.trigger import CronTriggerTimetable
from kubernetes.client import models as k8s

# The exit codes for which a retry cannot help; the table is in README.md.
HOPELESS = {2, 10, 11, 12, 13, 22, 31, 32, 70}


class Score(KubernetesPodOperator):
    """A pod whose exit code says whether the task is tried again."""

    def cleanup(self, pod, remote_pod, *arguments, **named):
        try:
            super().cleanup(pod, remote_pod, *arguments, **named)
        except AirflowSkipException:
            raise
        except AirflowException as failure:
            if exit_code(remote_pod, self.base_container_name) in HOPELESS:
                raise AirflowFailException(str(failure)) from failure
            raise


def exit_code(pod, container):
    """How a container of a pod ended; None if it did not."""
    for status in pod.status.container_statuses or []:
        if status.name == container and status.state.terminated:
            return status.state.terminated.exit_code
    return None


def volume(name):
    """The ConfigMap of that name."""
    return k8s.V1Volume(name=name, config_map=k8s.V1ConfigMapVolumeSource(name=f"batch-infer-{name}"))


with DAG(
    dag_id="fraud-detector",
    # Fires at the time itself and not at the end of an interval, in every version of Airflow.
    schedule=CronTriggerTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2026, 11, 1, tzinfo=timezone.utc),
    # Nights at which Airflow was away are made up for, each for its own date, one after the other.
    catchup=True,
    max_active_runs=1,
):
    Score(
        task_id="score",
        name="fraud-detector",
        image="batch-infer:0.2.0",
        arguments=[
            "run",
            "--config=/etc/batch-infer/configs/k8s.toml",
            "--job=/etc/batch-infer/jobs/fraud-detector.toml",
            "--set=input.path=s3://bucket/features/fraud-detector/date={date}/",
            "--set=model.registry=s3://bucket/models",
            "--set=output.path=s3://bucket/predictions/fraud-detector",
            "--set=output.state=s3://bucket/predictions/fraud-detector.batch-infer",
        ],
        env_vars={
            # Never the clock: a run that is late, retried or cleared scores the date of its scheduled time.
            "BATCH_INFER_SCHEDULED_TIME": "{{ data_interval_end.isoformat() }}",
            "BATCH_INFER_RUN_MAX_RUNTIME": "3h",
            "BATCH_INFER_DEVICE_KIND": "cpu",
            # No BATCH_INFER_RUN_KEY: clearing a task is a new wish, and may replace what an earlier one published.
        },
        env_from=[k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name="batch-infer-s3", optional=True))],
        service_account_name="batch-infer",
        automount_service_account_token=False,
        security_context=k8s.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=10001,
            run_as_group=10001,
            fs_group=10001,
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        container_security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
        ),
        container_resources=k8s.V1ResourceRequirements(
            requests={"cpu": "1", "memory": "4Gi"},
            limits={"cpu": "2", "memory": "4Gi"},
        ),
        volumes=[
            volume("jobs"),
            volume("configs"),
            k8s.V1Volume(name="spool", empty_dir=k8s.V1EmptyDirVolumeSource(size_limit="20Gi")),
        ],
        volume_mounts=[
            k8s.V1VolumeMount(name="jobs", mount_path="/etc/batch-infer/jobs", read_only=True),
            k8s.V1VolumeMount(name="configs", mount_path="/etc/batch-infer/configs", read_only=True),
            k8s.V1VolumeMount(name="spool", mount_path="/spool"),
        ],
        # /airflow/xcom/return.json, which a run writes where that folder is.
        do_xcom_push=True,
        termination_grace_period=60,
        retries=3,
        retry_delay=timedelta(minutes=1),
        retry_exponential_backoff=True,
        execution_timeout=timedelta(hours=4),
    )
