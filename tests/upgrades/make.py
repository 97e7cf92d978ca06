"""Makes the folder of an earlier version of the program: input, model, and the state and data set that its binary left behind.

    python tests/upgrades/make.py BINARY FOLDER     # such as: ... /builds/0.1/batch-infer tests/upgrades/0.1

The binary is a build of that version with the feature `failpoints`; the interpreter is that of `make readers`, which has pyarrow and moto.
The input lies in a bucket, so that its paths and ETags, and with them the identities of the plans, are the same wherever the folder is used.

Three dates: 2026-11-17 is published; 2026-11-18 is published without one row, which was rejected; 2026-11-19 was killed after two of its
three chunks.
"""

import contextlib
import datetime
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent / "models" / "ratio"

JOB = """version = 1
name = "ratio"

[input]
path = "s3://lake/features/date={date}"
keys = ["k"]

[model]
registry = "models"
name = "ratio"
version = "1"

[output]
path = "predictions"

[rows]
max_bad_rows = 10
max_bad_fraction = 1.0
on.NULL_FEATURE = "reject"
"""

ROWS = 12
CHUNK_ROWS = 4
KILLED = {"FAILPOINTS": "done.create.before=2*off->1*return(kill)"}


def features(day):
    """Rows of a day. `at` is written as INT96 and read by nobody, but each version says in the identity of a plan how it decodes it."""
    keys = list(range(100 * day, 100 * day + ROWS))
    columns = {"k": keys, "a": [float(key % 7) for key in keys], "b": [float(1 + key % 3) for key in keys]}
    columns["at"] = [datetime.datetime(2026, 11, day, 12, 0, key % 60) for key in keys]
    if day == 18:
        columns["a"][5] = None
    schema = pa.schema([("k", pa.int64()), ("a", pa.float64()), ("b", pa.float64()), ("at", pa.timestamp("us"))])
    return pa.table(columns, schema=schema)


@contextlib.contextmanager
def bucket():
    """A service with an empty bucket, and the variables that reach it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "writer",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    }
    try:
        client = boto3.client(
            "s3",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="writer",
            aws_secret_access_key="not-a-secret",
        )
        for _ in range(300):
            try:
                client.create_bucket(Bucket="lake")
                break
            except Exception:
                time.sleep(0.1)
        yield client, variables
    finally:
        server.kill()
        server.wait()


def main(binary, folder):
    binary, folder = pathlib.Path(binary).resolve(), pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(MODEL, folder / "models" / "ratio")
    with tempfile.TemporaryDirectory() as home, bucket() as (client, variables):
        home = pathlib.Path(home)
        shutil.copytree(folder / "models", home / "models")
        (home / "job.toml").write_text(JOB)
        for day in (17, 18, 19):
            # A file without rows beside them, as Spark writes one.
            for name, table in (("part-0.parquet", features(day)), ("part-1.parquet", features(day).slice(0, 0))):
                key = f"features/date=2026-11-{day}/{name}"
                file = folder / key
                file.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(table, file, compression="zstd", use_deprecated_int96_timestamps=True)
                client.upload_file(str(file), "lake", key)
        settings = {
            "BATCH_INFER_LINE_CHUNK_ROWS": str(CHUNK_ROWS),
            "BATCH_INFER_THREADS_SCORE": "1",
            "BATCH_INFER_STORAGE_ALLOW_HTTP": "true",
        }
        for day, killed in ((17, {}), (18, {}), (19, KILLED)):
            environment = {**os.environ, **variables, **settings, **killed}
            command = [binary, "run", "--job", "job.toml", "--date", f"2026-11-{day}"]
            ended = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
            expected = -9 if killed else 0
            assert ended.returncode == expected, (ended.returncode, ended.stdout, ended.stderr)
        done = list((home / "predictions.batch-infer/v1/ratio/date=2026-11-19").rglob("*.done.json"))
        assert len(done) == 2, f"the run was killed after {len(done)} chunks; try again"
        for name in ("predictions", "predictions.batch-infer"):
            shutil.copytree(home / name, folder / name)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        print(f"{file.stat().st_size:>8}  {file.relative_to(folder)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
