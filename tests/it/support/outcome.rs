//! A run that has ended, or has been started, and what is expected of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output};
use std::rc::Rc;
use std::time::Duration;

use arrow::array::RecordBatch;
use batch_infer::exit::ExitCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{DATE, Models, Partition, parquet_files, read_parquet};

/// How long a started run may take to open its spool, and how often it is looked for.
const SPOOL_LOOKS: u32 = 4_000;
const LOOK: Duration = Duration::from_millis(10);

/// Every folder and file below a folder, with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Tree {
    pub(crate) fn of(folder: &Path) -> Self {
        let mut tree = BTreeMap::new();
        collect(folder, folder, &mut tree);
        Self(tree)
    }

    /// Paths of the files.
    pub(crate) fn files(&self) -> Vec<&str> {
        let files = self.0.iter().filter(|(_, bytes)| bytes.is_some());
        files.map(|(path, _)| path.to_str().unwrap()).collect()
    }
}

fn collect(root: &Path, folder: &Path, tree: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_owned();
        if path.is_symlink() {
            tree.insert(
                name,
                Some(fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()),
            );
        } else if path.is_dir() {
            tree.insert(name, None);
            collect(root, &path, tree);
        } else {
            // A run that is under way may have removed it meanwhile.
            tree.extend(fs::read(&path).ok().map(|bytes| (name, Some(bytes))));
        }
    }
}

/// A run that has ended.
pub(crate) struct Run {
    home: Rc<TempDir>,
    before: Tree,
    output: Output,
}

impl Run {
    pub(super) fn new(home: Rc<TempDir>, before: Tree, output: Output) -> Self {
        Self { home, before, output }
    }

    /// It read so many rows and published as many.
    #[track_caller]
    pub(crate) fn expect_rows(&self, rows: usize) -> &Self {
        self.expect_success();
        let report = self.report();
        assert_eq!(report["rows"]["in"], rows, "{report:#}");
        assert_eq!(report["rows"]["out"], rows, "{report:#}");
        assert_eq!(self.partition().rows(), rows);
        self
    }

    #[track_caller]
    pub(crate) fn expect_success(&self) -> &Self {
        assert_eq!(self.output.status.code(), Some(0), "{}", self.message());
        self
    }

    /// It was killed.
    #[track_caller]
    pub(crate) fn expect_killed(&self) -> &Self {
        let signal = std::os::unix::process::ExitStatusExt::signal(&self.output.status);
        assert_eq!(signal, Some(Signal::KILL.as_raw()), "{}", self.message());
        self
    }

    /// It ended so.
    #[track_caller]
    pub(crate) fn expect_exit(&self, exit: ExitCode) -> &Self {
        assert_eq!(
            self.output.status.code(),
            Some(i32::from(exit.code())),
            "{}",
            self.message()
        );
        self
    }

    /// It ended so, says so, and published nothing.
    #[track_caller]
    pub(crate) fn expect_refusal(&self, exit: ExitCode) -> &Self {
        let message = self.message();
        assert_eq!(self.output.status.code(), Some(i32::from(exit.code())), "{message}");
        assert!(message.trim_end().ends_with(&format!("exit code: {exit}")), "{message}");
        assert_eq!(self.report()["exit_code"], exit.code());
        assert_eq!(Tree::of(&self.dataset()), self.before, "something was published");
        assert_eq!(self.leftovers(), [""; 0], "unfinished files were left behind");
        self
    }

    /// Each of these stands in the message.
    #[track_caller]
    pub(crate) fn expect_said(&self, parts: &[&str]) -> &Self {
        let message = self.message();
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in:\n{message}");
        }
        self
    }

    /// What people read, with `HOME` for the folder of the fixture.
    pub(crate) fn message(&self) -> String {
        self.shown(&self.output.stderr)
    }

    /// All that it wrote to its terminal, as it is.
    pub(crate) fn said(&self) -> Vec<u8> {
        [self.output.stdout.as_slice(), self.output.stderr.as_slice()].concat()
    }

    /// The JSON document that was printed.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        let text = self.shown(&self.output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in `{text}`; {}", self.message()))
    }

    fn shown(&self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).replace(self.home.path().to_str().unwrap(), "HOME")
    }

    /// What readers see.
    #[track_caller]
    pub(crate) fn partition(&self) -> Partition {
        Partition::read(&self.dataset().join(format!("date={DATE}/part-00000.parquet")))
    }

    /// One of several files of the partition.
    #[track_caller]
    pub(crate) fn partition_file(&self, number: usize) -> Partition {
        Partition::read(&self.dataset().join(format!("date={DATE}/part-{number:05}.parquet")))
    }

    /// The rows that were not scored.
    #[track_caller]
    pub(crate) fn rejects(&self) -> RecordBatch {
        let files = parquet_files(&self.state());
        assert_eq!(files.len(), 1, "{files:?}");
        read_parquet(&files[0])
    }

    /// Files that readers meet, below the data set.
    pub(crate) fn published(&self) -> Vec<String> {
        Tree::of(&self.dataset())
            .files()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    /// Records of runs, below the state folder.
    pub(crate) fn records(&self) -> Vec<String> {
        Tree::of(&self.state()).files().into_iter().map(str::to_owned).collect()
    }

    /// What is kept of a publication.
    #[track_caller]
    pub(crate) fn publication(&self, number: u64) -> Value {
        let name = format!("v1/fraud-detector/date={DATE}/published/{number:020}.json");
        serde_json::from_slice(&fs::read(self.state().join(name)).unwrap()).unwrap()
    }

    /// Bytes of a file of the fixture.
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        fs::read(self.home.path().join(path)).unwrap()
    }

    /// What the registry says of a version of the fixture's model.
    pub(crate) fn metadata(&self, version: &str) -> Value {
        Models::at(self.home.path().join("models")).read(version)
    }

    /// Files in the folder for temporary files.
    pub(crate) fn temporary_files(&self) -> Vec<String> {
        Tree::of(&self.home.path().join("tmp"))
            .files()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    /// Files in folders for work in progress.
    fn leftovers(&self) -> Vec<String> {
        let spools = self.records().into_iter().filter(|file| file.contains("spool"));
        self.temporary_files().into_iter().chain(spools).collect()
    }

    fn dataset(&self) -> PathBuf {
        self.home.path().join("predictions")
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("predictions.batch-infer")
    }
}

/// A run that may still be going on. It does not outlive the test.
pub(crate) struct Started {
    home: Rc<TempDir>,
    before: Tree,
    child: Option<Child>,
}

impl Started {
    pub(super) fn new(home: Rc<TempDir>, before: Tree, child: Child) -> Self {
        Self {
            home,
            before,
            child: Some(child),
        }
    }

    /// Waits until the run writes: then it has a model, a plan, and work to do.
    #[track_caller]
    pub(crate) fn until_it_writes(self) -> Self {
        self.until("/spool/")
    }

    /// Waits until the run has said whose the state is, just before it loads the model.
    #[track_caller]
    pub(crate) fn until_it_loads(self) -> Self {
        self.until("/dataset.json")
    }

    /// Waits until the run has tried the model and kept its plan.
    #[track_caller]
    pub(crate) fn until_it_has_a_plan(self) -> Self {
        self.until("/plan.json")
    }

    #[track_caller]
    fn until(mut self, part: &str) -> Self {
        let state = self.home.path().join("predictions.batch-infer");
        for _ in 0..SPOOL_LOOKS {
            if Tree::of(&state).files().iter().any(|file| file.contains(part)) {
                return self;
            }
            std::thread::sleep(LOOK);
        }
        // It may never end by itself.
        let _ = self.child.as_mut().unwrap().kill();
        panic!("the run made no {part}: {}", self.end().message());
    }

    /// Sends a signal.
    pub(crate) fn signal(self, signal: Signal) -> Self {
        let child = self.child.as_ref().unwrap();
        let process = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(process, signal).unwrap();
        self
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Run {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        Run::new(Rc::clone(&self.home), self.before.clone(), output)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
