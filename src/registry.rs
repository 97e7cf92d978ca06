//! The model registry: a name and a version, alias or `latest` become a [`ModelArtifact`] whose digest has been checked.
//!
//! The only reader of model folders. An alias is resolved here, once; what comes out names the version itself.

mod archive;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::ErrorKind;

use bytes::Bytes;
use futures::future::join;
use futures::{StreamExt, TryStreamExt, stream};

pub use archive::Kind;

use crate::contract::{Contract, ContractError, Feature};
use crate::digest::sha256;
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::storage::{Answer, Place, StorageError};

/// Folder of the aliases beside a model's versions.
const ALIASES: &str = "aliases";

/// Files of a registry that are asked for at a time.
const CONCURRENT: usize = 16;

/// A folder or prefix of models: `<name>/<version>/model.pt` and `metadata.json`, `<name>/aliases/<alias>`.
#[derive(Debug, Clone)]
pub struct Registry {
    place: Place,
}

/// A model version with everything that scoring needs, read once.
#[derive(Debug, Clone)]
pub struct ModelArtifact {
    /// What `metadata.json` says.
    pub contract: Contract,
    /// `model.pt`, the very bytes whose digest was checked.
    pub model: Bytes,
    /// Tokenizers and vocabularies that the contract names.
    pub files: BTreeMap<String, Bytes>,
    /// SHA-256 of `metadata.json`, hex.
    pub metadata_sha256: String,
    /// The version's folder.
    pub place: Place,
}

/// A model in the registry.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ModelListing {
    /// The model's name.
    pub name: String,
    /// Its versions, oldest first.
    pub versions: Vec<String>,
    /// Its aliases and the versions that they stand for.
    pub aliases: BTreeMap<String, String>,
}

impl Registry {
    /// The registry at a place.
    pub fn new(place: Place) -> Self {
        Self { place }
    }

    /// Every model, by name.
    pub async fn list(&self) -> Result<Vec<ModelListing>, RegistryError> {
        let mut models = Vec::new();
        for name in self.place.folders().await? {
            let versions = self.versions(&name).await?;
            let aliases = self.aliases(&name).await?;
            models.push(ModelListing {
                name,
                versions,
                aliases,
            });
        }
        Ok(models)
    }

    /// The version that `wanted` stands for: itself, an alias, or `latest`.
    pub async fn resolve(&self, name: &str, wanted: &str) -> Result<String, RegistryError> {
        // Most jobs name a version, which needs no look at the others.
        if self.is_version(name, wanted).await? {
            return Ok(wanted.to_owned());
        }
        let versions = self.versions(name).await?;
        if versions.is_empty() {
            return Err(self.no_such_model(name).await);
        }
        let aliases = self.aliases(name).await?;
        let resolved = match aliases.get(wanted) {
            Some(version) => Some(version.clone()),
            None if wanted == "latest" => versions.last().cloned(),
            None => None,
        };
        match resolved {
            Some(version) if versions.contains(&version) => Ok(version),
            Some(version) => Err(RegistryError::DanglingAlias {
                model: name.to_owned(),
                alias: wanted.to_owned(),
                version,
            }),
            None => Err(RegistryError::NoSuchVersion {
                model: name.to_owned(),
                wanted: wanted.to_owned(),
                versions,
                aliases: aliases.into_keys().collect(),
            }),
        }
    }

    /// Reads a resolved version and checks its digest.
    pub async fn load(&self, name: &str, version: &str) -> Result<ModelArtifact, RegistryError> {
        self.load_telling(name, version, |_| ()).await
    }

    /// As `load`; the contract is told as soon as it is known, while the model is still being read.
    pub async fn load_telling(
        &self,
        name: &str,
        version: &str,
        tell: impl FnOnce(&Contract),
    ) -> Result<ModelArtifact, RegistryError> {
        let place = self.place.join(&format!("{name}/{version}"));
        let contract = async {
            let metadata = required(&place, "metadata.json").await?;
            let contract = contract(&metadata, &place, name, version)?;
            tell(&contract);
            Ok::<_, RegistryError>((metadata, contract))
        };
        let (contract, model) = join(contract, required(&place, "model.pt")).await;
        let (metadata, contract) = contract?;
        let model = model?;
        let file = || place.join("model.pt").location().to_string();
        let kind = Kind::of(&model);
        let found = sha256(&model);
        if !found.eq_ignore_ascii_case(&contract.sha256) {
            return Err(RegistryError::Digest {
                file: file(),
                kind,
                stated: contract.sha256,
                found,
            });
        }
        if kind != Kind::TorchScript {
            return Err(RegistryError::NotTorchScript { file: file(), kind });
        }
        let files = contract.features.iter().filter_map(side_file);
        let files = stream::iter(files.map(async |file| Ok((file.to_owned(), required(&place, file).await?))));
        let files: Result<_, RegistryError> = files.buffered(CONCURRENT).try_collect().await;
        let files = files?;
        Ok(ModelArtifact {
            metadata_sha256: sha256(&metadata),
            contract,
            model,
            files,
            place,
        })
    }

    /// Folders that hold a `metadata.json`, oldest version first.
    async fn versions(&self, name: &str) -> Result<Vec<String>, RegistryError> {
        let folders = self.place.join(name).folders().await?.into_iter();
        let looked = folders.map(async |folder| {
            let is_version = self.is_version(name, &folder).await?;
            Ok(is_version.then_some(folder))
        });
        let looked: Result<Vec<_>, RegistryError> = stream::iter(looked).buffered(CONCURRENT).try_collect().await;
        let mut versions: Vec<String> = looked?.into_iter().flatten().collect();
        versions.sort_by(|a, b| by_number(a, b));
        Ok(versions)
    }

    async fn is_version(&self, name: &str, folder: &str) -> Result<bool, RegistryError> {
        let metadata = self.place.join(&format!("{name}/{folder}/metadata.json"));
        match metadata.head().await {
            // A file of that name is no version.
            Err(error) if error.answer() == Some(Answer::Local(ErrorKind::NotADirectory)) => Ok(false),
            found => Ok(folder != ALIASES && found?.is_some()),
        }
    }

    async fn aliases(&self, name: &str) -> Result<BTreeMap<String, String>, RegistryError> {
        let folder = self.place.join(name).join(ALIASES);
        let mut aliases = BTreeMap::new();
        for object in folder.list().await? {
            let Some(alias) = object.location.filename().map(str::to_owned) else {
                continue;
            };
            if let Some(text) = folder.at(object.location).read().await? {
                let version = String::from_utf8_lossy(&text).trim().to_owned();
                aliases.insert(alias, version);
            }
        }
        Ok(aliases)
    }

    async fn no_such_model(&self, name: &str) -> RegistryError {
        RegistryError::NoSuchModel {
            model: name.to_owned(),
            registry: self.place.location().to_string(),
            known: self.place.folders().await.unwrap_or_default(),
        }
    }
}

/// The contract of a version, which says whose it is.
fn contract(metadata: &[u8], place: &Place, name: &str, version: &str) -> Result<Contract, RegistryError> {
    let origin = place.join("metadata.json").location().to_string();
    let contract = Contract::from_json(metadata, &origin)?;
    if contract.name == name && contract.version == version {
        return Ok(contract);
    }
    Err(RegistryError::Misplaced {
        origin,
        stated: format!("{} {}", contract.name, contract.version),
        folder: format!("{name} {version}"),
    })
}

/// The file beside the model that a feature needs.
fn side_file(feature: &Feature) -> Option<&str> {
    match feature {
        Feature::Text(text) => Some(&text.tokenizer),
        Feature::Categorical(categorical) => categorical.vocabulary_file.as_deref(),
        Feature::Numeric(_) | Feature::Vector(_) | Feature::Raw(_) => None,
    }
}

async fn required(place: &Place, file: &str) -> Result<Bytes, RegistryError> {
    let file = place.join(file);
    file.read().await?.ok_or_else(|| RegistryError::NoSuchFile {
        file: file.location().to_string(),
    })
}

/// Orders `2` before `10` and `1.9` before `1.10`: runs of digits by value, the rest by character.
fn by_number(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (pieces(a), pieces(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => {
                let order = match (x.parse::<u128>(), y.parse::<u128>()) {
                    (Ok(x), Ok(y)) => x.cmp(&y),
                    _ => x.cmp(y),
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
        }
    }
}

/// Alternating runs of digits and of other characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let digit = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        Some(piece)
    })
}

/// Why a model version cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No folder of that name holds a version.
    #[error("the registry `{registry}` has no model `{model}`")]
    NoSuchModel {
        /// The name asked for.
        model: String,
        /// The registry.
        registry: String,
        /// Names that it has.
        known: Vec<String>,
    },
    /// Neither a version nor an alias.
    #[error("model `{model}` has no version or alias `{wanted}`")]
    NoSuchVersion {
        /// The model.
        model: String,
        /// What was asked for.
        wanted: String,
        /// Versions that exist.
        versions: Vec<String>,
        /// Aliases that exist.
        aliases: Vec<String>,
    },
    /// An alias of a version that is gone.
    #[error("alias `{alias}` of model `{model}` stands for version `{version}`, which does not exist")]
    DanglingAlias {
        /// The model.
        model: String,
        /// The alias.
        alias: String,
        /// What it stands for.
        version: String,
    },
    /// A file of the version is absent.
    #[error("the model file `{file}` does not exist")]
    NoSuchFile {
        /// The file.
        file: String,
    },
    /// `metadata.json` belongs to another folder.
    #[error("`{origin}` says it is `{stated}` and lies in the folder of `{folder}`")]
    Misplaced {
        /// The file.
        origin: String,
        /// Name and version in it.
        stated: String,
        /// Name and version of its folder.
        folder: String,
    },
    /// The model is not the one that the metadata describes.
    #[error("`{file}` has SHA-256 {found}, its metadata.json says {stated}{}", besides(*kind))]
    Digest {
        /// The file.
        file: String,
        /// What it is.
        kind: Kind,
        /// Digest in metadata.json.
        stated: String,
        /// Digest of the bytes.
        found: String,
    },
    /// The model is something else, and the metadata knows it so.
    #[error("`{file}` is {kind}, expected a TorchScript archive")]
    NotTorchScript {
        /// The file.
        file: String,
        /// What it is.
        kind: Kind,
    },
    /// The contract cannot be used.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Seam for RegistryError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::NoSuchModel { .. }
            | Self::NoSuchVersion { .. }
            | Self::DanglingAlias { .. }
            | Self::NoSuchFile { .. }
            | Self::Misplaced { .. }
            | Self::Digest { .. }
            | Self::NotTorchScript { .. } => ExitCode::Model,
            Self::Contract(error) => error.exit(),
            Self::Storage(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchModel { model, known, .. } if known.contains(model) => Some(format!(
                "`{model}` is there, but no version in it: that is a folder with model.pt and metadata.json"
            )),
            Self::NoSuchModel { known, .. } if !known.is_empty() => Some(format!("it has: {}", known.join(", "))),
            Self::NoSuchModel { .. } => Some("a registry holds <name>/<version>/model.pt and metadata.json".to_owned()),
            Self::NoSuchVersion { versions, aliases, .. } => {
                let aliases = aliases.iter().map(String::as_str).chain(["latest"]);
                let aliases: Vec<_> = aliases.collect();
                Some(format!(
                    "versions: {}; aliases: {}",
                    versions.join(", "),
                    aliases.join(", ")
                ))
            }
            Self::NotTorchScript { kind, .. } => Some(kind.way_out().to_owned()),
            Self::Digest { kind, .. } if is_known(*kind) => Some(kind.way_out().to_owned()),
            Self::Digest { .. } => {
                Some("write metadata.json again after model.pt has been saved, or restore the model file".to_owned())
            }
            Self::Contract(error) => error.hint(),
            Self::Storage(error) => error.hint(),
            Self::DanglingAlias { .. } | Self::NoSuchFile { .. } | Self::Misplaced { .. } => None,
        }
    }
}

/// What a file is that is not the one described, where that explains it.
fn besides(kind: Kind) -> String {
    if is_known(kind) {
        format!("; it is {kind}")
    } else {
        String::new()
    }
}

/// True for a file that is something else than a model, and what.
fn is_known(kind: Kind) -> bool {
    !matches!(kind, Kind::TorchScript | Kind::Unknown(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::StorageSettings;
    use crate::validate::Location;

    #[test]
    fn versions_are_ordered_by_number_not_by_character() {
        let mut versions = ["10", "9", "1.10", "1.9", "2024-01-02", "v3", "v20"];
        versions.sort_by(|a, b| by_number(a, b));
        assert_eq!(versions, ["1.9", "1.10", "9", "10", "2024-01-02", "v3", "v20"]);
    }
    #[tokio::test]
    async fn a_file_named_like_an_alias_is_no_version() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "2").unwrap();
        };
        for name in [
            "fraud/2/metadata.json",
            "fraud/latest",
            "fraud/champion",
            "fraud/aliases/champion",
            "file",
        ] {
            write(name);
        }
        let location = Location::Local(folder.path().to_owned());
        let registry = Registry::new(Place::open(&location, &StorageSettings::default()).unwrap());
        for wanted in ["2", "latest", "champion"] {
            assert_eq!(registry.resolve("fraud", wanted).await.unwrap(), "2", "{wanted}");
        }
        let error = registry.resolve("file", "2").await.unwrap_err();
        assert!(matches!(error, RegistryError::NoSuchModel { .. }), "{error:?}");
    }
}
