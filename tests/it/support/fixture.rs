//! A job with everything around it, in a folder of its own: input, model registry, job file, settings.
//!
//! Unless a test says otherwise the job is the fraud-detector over features that the fixture writes. The binary runs in the folder,
//! so that paths in messages are short and the same each time.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::rc::Rc;

use assert_cmd::Command;
use batch_infer::settings::variable_of;
use tempfile::TempDir;

use super::outcome::{Run, Started, Tree};
use super::{Features, Models, patient, process, repository};

/// The date of every run.
pub(crate) const DATE: &str = "2026-11-19";

/// What stands where a partition is already published; no run here would write it.
const OLDER: &[u8] = b"what an older run published";

/// A job and its surroundings in the making.
pub(crate) struct JobFixture {
    home: Rc<TempDir>,
    job: BTreeMap<String, String>,
    features: Option<Features>,
    placed: Vec<(String, Features)>,
    settings: Vec<(String, String)>,
    arguments: Vec<String>,
    memory: Option<u64>,
    written: OnceCell<()>,
}

impl JobFixture {
    /// The fraud-detector over 100 rows.
    pub(crate) fn new() -> Self {
        let fixture = Self::of("fraud-detector", "transaction_id");
        let features = Some(Features::new());
        Self { features, ..fixture }.job("input.path", "'features/date={date}'")
    }

    /// The job of a model of `sample_data`, over its features there.
    pub(crate) fn of(model: &str, key: &str) -> Self {
        Self::of_registry("sample_data/models", model, key)
    }

    /// The job of a model of `tests/models`, whose key is `k`, without its input.
    pub(crate) fn of_test_model(model: &str) -> Self {
        Self::of_registry("tests/models", model, "k").job("input.path", "'features/date={date}'")
    }

    fn of_registry(registry: &str, model: &str, key: &str) -> Self {
        let home = TempDir::with_prefix("batch-infer-it-").unwrap();
        Models::copied(registry, model, home.path().join("models"));
        let dataset = if model == "ticket-embedding" {
            "support-tickets"
        } else {
            model
        };
        let input = repository()
            .join("sample_data/features")
            .join(dataset)
            .join("date={date}");
        let fixture = Self {
            home: Rc::new(home),
            job: BTreeMap::new(),
            features: None,
            placed: Vec::new(),
            settings: Vec::new(),
            arguments: Vec::new(),
            memory: None,
            written: OnceCell::new(),
        };
        fixture
            .job("version", "1")
            .job("name", &format!("'{model}'"))
            .job("input.path", &format!("'{}'", input.display()))
            .job("input.keys", &format!("['{key}']"))
            .job("model.registry", "'models'")
            .job("model.name", &format!("'{model}'"))
            .job("model.version", "'latest'")
            .job("output.path", "'predictions'")
            // Standard error then holds the message and nothing else.
            .setting("log.level", "error")
    }

    /// A key of the job file and its value as TOML.
    pub(crate) fn job(mut self, key: &str, value: &str) -> Self {
        self.job.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A setting of the machine, as a variable of the environment.
    pub(crate) fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((variable_of(key), value.to_owned()));
        self
    }

    /// Any other variable.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Address space of the process; what asks for more is told that there is none.
    pub(crate) fn limited(self, bytes: u64) -> Self {
        Self {
            memory: Some(bytes),
            ..self
        }
    }

    /// The next run gets none of the arguments so far.
    pub(crate) fn without_arguments(mut self) -> Self {
        self.arguments.clear();
        self
    }

    /// The features that are written for the job.
    pub(crate) fn features(mut self, change: impl FnOnce(Features) -> Features) -> Self {
        self.features = self.features.map(change);
        self
    }

    pub(crate) fn rows(self, rows: usize) -> Self {
        self.features(|features| features.rows(rows))
    }

    pub(crate) fn row_group_rows(self, row_group_rows: usize) -> Self {
        self.features(|features| features.row_group_rows(row_group_rows))
    }

    pub(crate) fn files(self, files: usize) -> Self {
        self.features(|features| features.files(files))
    }

    /// Writes no features of its own.
    pub(crate) fn without_features(self) -> Self {
        Self { features: None, ..self }
    }

    /// Further features, in a folder of the fixture.
    pub(crate) fn placed(mut self, folder: &str, features: Features) -> Self {
        self.placed.push((folder.to_owned(), features));
        self
    }

    /// A file of the fixture.
    pub(crate) fn file(self, path: &str, bytes: &[u8]) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// Changes the registry.
    pub(crate) fn models(self, change: impl FnOnce(&Models)) -> Self {
        change(&Models::at(self.path("models")));
        self
    }

    /// Changes the files of the input, once they are written.
    pub(crate) fn damaged(self, damage: impl FnOnce(&Path)) -> Self {
        self.write();
        damage(&self.path(&format!("features/date={DATE}")));
        self
    }

    /// Something is already published for the date, by a program that the job allows to be replaced.
    pub(crate) fn published_before(self) -> Self {
        self.file(&format!("predictions/date={DATE}/part-00000.parquet"), OLDER)
            .job("output.adopt_foreign", "true")
    }

    /// A path in the folder of the fixture.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// Scores the date and waits for the end.
    pub(crate) fn run(&self) -> Run {
        let mut process = self.process("run");
        process.args(["--date", DATE, "--format", "json"]).args(&self.arguments);
        let before = Tree::of(&self.path("predictions"));
        Run::new(Rc::clone(&self.home), before, patient(process).output().unwrap())
    }

    /// Starts to score the date.
    pub(crate) fn start(&self) -> Started {
        let mut process = self.process("run");
        process.args(["--date", DATE, "--format", "json"]).args(&self.arguments);
        let before = Tree::of(&self.path("predictions"));
        let process = process
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Started::new(Rc::clone(&self.home), before, process.spawn().unwrap())
    }

    /// Another command, of one word or two, on the job file, without the arguments of runs.
    pub(crate) fn command(&self, name: &str) -> Command {
        patient(self.process(name))
    }

    fn process(&self, name: &str) -> Process {
        self.write();
        let mut process = match self.memory {
            None => process(self.home.path()),
            Some(bytes) => limited(&process(self.home.path()), bytes),
        };
        let settings = self.settings.iter().map(|(name, value)| (name, value));
        process.args(name.split(' ')).args(["--job", "job.toml"]).envs(settings);
        process
    }

    /// Writes the job file and the features; the features only once, so that they can be damaged.
    fn write(&self) {
        let job = self.job.iter().map(|(key, value)| format!("{key} = {value}\n"));
        fs::write(self.path("job.toml"), job.collect::<Vec<_>>().concat()).unwrap();
        self.written.get_or_init(|| {
            if let Some(features) = &self.features {
                features.write(&self.path(&format!("features/date={DATE}")));
            }
            for (folder, features) in &self.placed {
                features.write(&self.path(folder));
            }
        });
    }
}

/// The same process in a shell that limits its memory.
fn limited(process: &Process, bytes: u64) -> Process {
    let mut shell = Process::new("/bin/sh");
    shell.env_clear();
    shell.args(["-c", &format!("ulimit -v {}; exec \"$0\" \"$@\"", bytes >> 10)]);
    shell.arg(process.get_program()).args(process.get_args());
    if let Some(folder) = process.get_current_dir() {
        shell.current_dir(folder);
    }
    for (name, value) in process.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}
