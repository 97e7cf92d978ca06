//! An S3 service for one test: `moto` from the environment that `make readers` makes, on a free port of this machine.
//!
//! It is a model of S3 in memory. What it cannot show is how a service behaves that is slow, far away or under load.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use ::object_store::aws::{AmazonS3, AmazonS3Builder};
use ::object_store::path::Path as Key;
use ::object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use bytes::Bytes;
use futures::TryStreamExt;
use tokio::runtime::Runtime;

use super::BUCKET;
use crate::support::{Partition, variable};

/// The interpreter that has `moto`; `make test` sets it.
const PYTHON: &str = "BATCH_INFER_READERS_PYTHON";

/// How long the service may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the service says before its address.
const READY: &str = "Running on http://";

/// A running service, which ends with the test.
pub(super) struct Service {
    child: Child,
    address: String,
    runtime: Runtime,
}

impl Service {
    /// Starts a service without buckets; `None` where this machine has no interpreter for it.
    pub(super) fn start() -> Option<Self> {
        let Some(python) = variable(PYTHON) else {
            eprintln!("skipped: {PYTHON} is not set, `make test` sets it");
            return None;
        };
        let mut command = Command::new(python);
        let command = command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]);
        let command = command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut service = Self {
            child,
            address: String::new(),
            runtime: Runtime::new().unwrap(),
        };
        service.address = address(log);
        Some(service)
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The store's library creates no buckets, so this is said in plain HTTP.
    pub(super) fn create_bucket(&self, bucket: &str) {
        self.ask("PUT", &format!("/{bucket}"), "");
    }

    /// From now on only known users may do anything, and there are none.
    pub(super) fn refuse_strangers(&self) {
        self.ask("POST", "/moto-api/reset-auth", "0");
    }

    /// Puts a file under the key that it has below a folder.
    pub(super) fn upload(&self, folder: &Path, file: &Path) {
        let key = file.strip_prefix(folder).unwrap().to_str().unwrap();
        self.put(key, Bytes::from(std::fs::read(file).unwrap()));
    }

    pub(super) fn put(&self, key: &str, bytes: Bytes) {
        self.runtime
            .block_on(self.store().put(&Key::from(key), bytes.into()))
            .unwrap();
    }

    pub(super) fn remove(&self, key: &str) {
        self.runtime.block_on(self.store().delete(&Key::from(key))).unwrap();
    }

    pub(super) fn read(&self, key: &str) -> Bytes {
        let read = async { self.store().get(&Key::from(key)).await?.bytes().await };
        self.runtime
            .block_on(read)
            .unwrap_or_else(|error| panic!("{key}: {error}"))
    }

    pub(super) fn partition(&self, key: &str) -> Partition {
        Partition::from_bytes(self.read(key))
    }

    /// Keys that start so, sorted.
    pub(super) fn keys(&self, start: &str) -> Vec<String> {
        let objects = self.objects(start).into_iter();
        objects.map(|object| object.location.to_string()).collect()
    }

    /// Objects whose names begin so, by name.
    pub(super) fn objects(&self, start: &str) -> Vec<ObjectMeta> {
        let store = self.store();
        let mut objects: Vec<ObjectMeta> = self.runtime.block_on(store.list(None).try_collect()).unwrap();
        objects.retain(|object| object.location.as_ref().starts_with(start));
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        objects
    }

    fn store(&self) -> AmazonS3 {
        let builder = AmazonS3Builder::new()
            .with_bucket_name(BUCKET)
            .with_endpoint(self.endpoint());
        let builder = builder
            .with_region("us-east-1")
            .with_access_key_id("writer")
            .with_secret_access_key("writer");
        builder.with_allow_http(true).build().unwrap()
    }

    fn ask(&self, method: &str, path: &str, body: &str) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (address, length) = (&self.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/plain\r\nContent-Length: {length}"
        );
        write!(stream, "{head}\r\nConnection: close\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the service's address. What it says later is read too, so that it never waits for a reader.
fn address(log: impl BufRead + Send + 'static) -> String {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            // Nobody listens any more once the address is known.
            let _ = sender.send(line);
        }
    });
    let mut said = Vec::new();
    loop {
        match receiver.recv_timeout(PATIENCE) {
            Ok(line) => match line.split_once(READY) {
                Some((_, address)) => return address.trim().to_owned(),
                None => said.push(line),
            },
            Err(error) => panic!("the S3 service did not start ({error}):\n{}", said.join("\n")),
        }
    }
}
