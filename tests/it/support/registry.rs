//! A model registry in a folder of the test: models of `sample_data`, whole or broken on purpose.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::repository;
use batch_infer::digest::sha256;

/// A registry that a test may change.
pub(crate) struct Models {
    folder: PathBuf,
}

impl Models {
    /// The registry in a folder.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Copies one model of a registry of this package, with all its versions and aliases.
    pub(crate) fn copied(registry: &str, model: &str, folder: PathBuf) -> Self {
        copy(&repository().join(registry).join(model), &folder.join(model));
        Self::at(folder)
    }

    /// Changes the metadata of a version; the model's file stays as it is.
    pub(crate) fn metadata(&self, version: &str, change: impl FnOnce(&mut Value)) {
        let mut metadata = self.read(version);
        change(&mut metadata);
        let text = serde_json::to_vec_pretty(&metadata).unwrap();
        fs::write(self.file(version, "metadata.json"), text).unwrap();
    }

    /// The metadata of a version.
    pub(crate) fn read(&self, version: &str) -> Value {
        serde_json::from_slice(&fs::read(self.file(version, "metadata.json")).unwrap()).unwrap()
    }

    /// Puts other bytes in the place of the model. Its metadata knows nothing of it.
    pub(crate) fn damage(&self, version: &str, bytes: &[u8]) {
        fs::write(self.file(version, "model.pt"), bytes).unwrap();
    }

    /// Puts other bytes in the place of the model, with the digest that belongs to them.
    pub(crate) fn replace(&self, version: &str, bytes: &[u8]) {
        self.damage(version, bytes);
        self.metadata(version, |metadata| metadata["sha256"] = sha256(bytes).into());
    }

    /// Bytes of the model of a version.
    pub(crate) fn bytes(&self, version: &str) -> Vec<u8> {
        fs::read(self.file(version, "model.pt")).unwrap()
    }

    pub(crate) fn alias(&self, alias: &str, version: &str) {
        fs::write(self.model().join("aliases").join(alias), version).unwrap();
    }

    fn file(&self, version: &str, name: &str) -> PathBuf {
        self.model().join(version).join(name)
    }

    /// The one model's folder.
    fn model(&self) -> PathBuf {
        let mut models = fs::read_dir(&self.folder).unwrap();
        models.next().unwrap().unwrap().path()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
