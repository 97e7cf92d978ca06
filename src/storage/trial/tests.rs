//! Stores that take conditions in ways of their own.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::*;
use crate::clock::SystemClock;
use crate::validate::Location;

/// What is special about a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nothing: the `ETag` in quotes.
    Standard,
    /// The `ETag` without quotes.
    Unquoted,
    /// The `ETag` without quotes is an error.
    Strict,
    /// `If-None-Match` is ignored.
    CreatesAgain,
    /// `If-Match` is ignored.
    ReplacesAny,
    /// No version is ever replaced.
    ReplacesNone,
    /// What is refused is written all the same.
    WritesWhatItRefuses,
    /// Who replaces something hears that it was refused, as after a repetition.
    LosesAnswers,
}

#[derive(Debug)]
struct Store {
    way: Way,
    objects: InMemory,
}

impl Store {
    fn refused(path: &Path) -> Error {
        Error::Precondition {
            path: path.to_string(),
            source: "the condition does not hold".into(),
        }
    }

    /// The version that an object must have, as the store below knows it; `None`: any.
    fn wanted(&self, path: &Path, etag: &str) -> Result<Option<String>> {
        let is_quoted = etag.starts_with('"');
        match self.way {
            Way::ReplacesAny => Ok(None),
            Way::ReplacesNone => Err(Self::refused(path)),
            Way::Unquoted if is_quoted => Err(Self::refused(path)),
            Way::Strict if !is_quoted => Err(Error::NotSupported {
                source: "an ETag has quotes".into(),
            }),
            Way::Unquoted => Ok(Some(format!("\"{etag}\""))),
            _ if is_quoted => Ok(Some(etag.to_owned())),
            _ => Err(Self::refused(path)),
        }
    }

    async fn put(&self, path: &Path, payload: PutPayload, mode: PutMode) -> Result<PutResult> {
        self.objects.put_opts(path, payload, mode.into()).await
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.way)
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match options.mode {
            PutMode::Create if self.way == Way::CreatesAgain => self.put(path, payload, PutMode::Overwrite).await,
            PutMode::Update(mut version) => {
                let etag = version.e_tag.clone().unwrap_or_default();
                let Some(wanted) = self.wanted(path, &etag)? else {
                    return self.put(path, payload, PutMode::Overwrite).await;
                };
                version.e_tag = Some(wanted);
                let done = self.put(path, payload.clone(), PutMode::Update(version)).await;
                match self.way {
                    Way::WritesWhatItRefuses if done.is_err() => {
                        self.put(path, payload, PutMode::Overwrite).await?;
                        Err(Self::refused(path))
                    }
                    Way::LosesAnswers => done.and(Err(Self::refused(path))),
                    _ => done,
                }
            }
            mode => self.put(path, payload, mode).await,
        }
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.objects.get_opts(path, options).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(paths)
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("nothing is uploaded in pieces")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("nothing is copied")
    }
}

#[async_trait]
impl MultipartStore for Store {
    async fn create_multipart(&self, _: &Path) -> Result<MultipartId> {
        unreachable!("nothing is uploaded in pieces")
    }

    async fn create_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<MultipartId> {
        unreachable!("nothing is uploaded in pieces")
    }

    async fn put_part(&self, _: &Path, _: &MultipartId, _: usize, _: PutPayload) -> Result<PartId> {
        unreachable!("nothing is uploaded in pieces")
    }

    async fn complete_multipart(&self, _: &Path, _: &MultipartId, _: Vec<PartId>) -> Result<PutResult> {
        unreachable!("nothing is uploaded in pieces")
    }

    async fn abort_multipart(&self, _: &Path, _: &MultipartId) -> Result<()> {
        unreachable!("nothing is uploaded in pieces")
    }
}

/// What is said of a store, and whether an object can be replaced there afterwards, but not in a version that it does not have.
async fn tried(way: Way) -> (Option<&'static str>, bool) {
    let objects = InMemory::new();
    let location = Location::S3 {
        bucket: "lake".to_owned(),
        prefix: "state".to_owned(),
    };
    let place = Place::made(Store { way, objects }, Arc::new(SystemClock), location);
    let (fault, traces) = place.try_conditions("probe").await.unwrap();
    traces.remove().await.unwrap();
    assert_eq!(
        place.list().await.unwrap(),
        [],
        "something is left in a store that is {way:?}"
    );
    let record = place.join("record");
    let (_, version) = record.create_version("1".into()).await.unwrap();
    let over = |version| (Bytes::from("2"), Condition::Is(version));
    let (two, none) = over(Version::none());
    let is_refused = matches!(record.put_if(&two, &none, &[]).await, Ok(Attempt::Unsure(_)));
    let (two, right) = over(version.unwrap());
    let is_done = matches!(record.put_if(&two, &right, &[]).await, Ok(Attempt::Done));
    (fault, is_refused && is_done)
}

#[tokio::test]
async fn stores_that_keep_conditions_are_used_in_the_form_that_they_take() {
    for way in [Way::Standard, Way::Unquoted, Way::Strict] {
        assert_eq!(tried(way).await, (None, true), "{way:?}");
    }
}

#[tokio::test]
async fn a_store_whose_answers_are_lost_is_none_that_breaks_conditions() {
    assert_eq!(tried(Way::LosesAnswers).await.0, None);
}

#[tokio::test]
async fn stores_that_break_conditions_are_found_out() {
    let faults = [
        (
            Way::CreatesAgain,
            "`If-None-Match: *` is ignored: an object that exists was created again",
        ),
        (
            Way::ReplacesAny,
            "`If-Match` is ignored: an object of another version was replaced",
        ),
        (Way::ReplacesNone, "`If-Match` with the right ETag is refused"),
        (Way::WritesWhatItRefuses, "a refused write took place"),
    ];
    for (way, fault) in faults {
        assert_eq!(tried(way).await.0, Some(fault), "{way:?}");
    }
}
