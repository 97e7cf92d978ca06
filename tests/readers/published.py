"""A job that has been run for every date of its sample features, and what its output must hold.

Takes a job file and a folder, runs the binary, and states the expected rows and columns from the features, the job and
the model's contract alone. It opens no output: that is what the tests do, each with another library.
"""

import datetime
import glob
import json
import os
import pathlib
import re
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
JOB_FILES = sorted((REPOSITORY / "jobs").glob("*.toml"))

# What people write behind the output's path: a glob, a recursive glob, and nothing, which is the folder.
FORMS = ["date=*/*.parquet", "**/*.parquet", ""]

# A run of a few thousand rows takes seconds; this ends one that hangs.
RUN_SECONDS = 300

ARROW_TYPES = {
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
}


class Published:
    """The output of one job, below `root`, for `dates`."""

    def __init__(self, job_file, folder):
        self.job = tomllib.loads(job_file.read_text())
        self.root = folder / self.job["name"]
        self.state = folder / (self.job["name"] + ".batch-infer")
        self.model_folder = model_folder(self.job["model"])
        self.contract = json.loads((self.model_folder / "metadata.json").read_text())
        self.dates = dates_of(self.job["input"]["path"])
        self.reports = {date: self.run(job_file, date) for date in self.dates}

    def run(self, job_file, date):
        """Runs the job for a date and returns its report."""
        command = [os.environ["BATCH_INFER_BIN"], "run", "--job", job_file, "--date", date, "--format", "json"]
        command += ["--set", f"output.path={self.root}"]
        if "state" in self.job["output"]:
            command += ["--set", f"output.state={self.state}"]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=RUN_SECONDS)
        assert done.returncode == 0, f"exit code {done.returncode} of {command}\n{done.stderr}"
        return json.loads(done.stdout)

    @property
    def keys(self):
        """Names of the columns that identify a row."""
        return self.job["input"]["keys"]

    def features(self, date):
        """The columns that travel from the input, in the input's order."""
        carried = self.keys + self.job["input"].get("passthrough", [])
        files = input_files(self.job["input"]["path"], date)
        return pa.concat_tables(pq.ParquetFile(file).read(columns=carried).select(carried) for file in files)

    def schema(self):
        """The columns of an output file: what travels, what the model says, and where the row comes from."""
        fields = [(field.name, field.type) for field in self.features(self.dates[0]).schema]
        for output in self.contract["outputs"]:
            fields += output_fields(output)
        decision = self.contract.get("decision")
        if decision:
            fields.append((decision["column"], pa.string() if "labels" in decision else pa.int8()))
        fields += [("model_name", pa.string()), ("model_version", pa.string())]
        fields += [("inference_timestamp", pa.timestamp("us", tz="UTC")), ("run_id", pa.string())]
        return pa.schema(fields)

    def vector_columns(self):
        """Columns that hold a list of fixed size, and the size."""
        return {field.name: field.type.list_size for field in self.schema() if pa.types.is_fixed_size_list(field.type)}

    def files(self, date="*"):
        """The output files of a date, or of all."""
        return sorted(self.root.glob(f"date={date}/*.parquet"))

    def rows(self, dates=None):
        """The rows as they lie in the files, with the date of the path; the measure for every other reader."""
        rows = []
        for date in dates or self.dates:
            for file in self.files(date):
                for row in pq.ParquetFile(file).read().to_pylist():
                    rows.append(row | {"date": date})
        return self.sorted(rows)

    def sorted(self, rows):
        """Rows in the order of date and key, since a reader of many files owes no order."""
        return sorted(rows, key=lambda row: (row["date"], *(row[key] for key in self.keys)))

    def assert_same(self, table, dates=None):
        """Asserts that an Arrow table from some reader holds the rows of the files."""
        expected = self.rows(dates)
        found = self.sorted(plain(row) for row in table.to_pylist())
        assert len(expected) == sum(self.features(date).num_rows for date in dates or self.dates)
        assert len(found) == len(expected)
        for ours, theirs in zip(expected, found):
            assert theirs == ours


def plain(row):
    """A row as Python values: a date of the path as its text, whatever type the reader gave it."""
    date = row["date"]
    return row | {"date": date.isoformat() if isinstance(date, datetime.date) else str(date)}


def output_fields(output):
    """Names and types of the columns that an output of the contract becomes."""
    value = ARROW_TYPES[output["dtype"]]
    if "columns" in output:
        return [(name, value) for name in output["columns"]]
    if output["shape"][1:] in ([], [1]):
        return [(output["column"], value)]
    return [(output["column"], pa.list_(pa.field("element", value, nullable=False), output["shape"][1]))]


def model_folder(model):
    """The folder of the version that a job asks for: itself, an alias, or the latest."""
    versions = REPOSITORY / model["registry"] / model["name"]
    wanted = model.get("version", "champion")
    alias = versions / "aliases" / wanted
    if alias.exists():
        return versions / alias.read_text().strip()
    if wanted == "latest":
        return max((path.parent for path in versions.glob("*/metadata.json")), key=by_number)
    return versions / wanted


def by_number(path):
    """Sorts version 10 behind version 9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def dates_of(template):
    """The dates for which there are sample features."""
    folders = glob.glob(template.replace("{date}", "*"), root_dir=REPOSITORY)
    return sorted(re.search(r"date=(\d{4}-\d\d-\d\d)", folder)[1] for folder in folders)


def input_files(template, date):
    """The feature files of a date, by name."""
    return sorted((REPOSITORY / template.replace("{date}", date)).glob("*.parquet"))
