//! A process's way to the bucket: every request waits until the schedule lets it go on.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::TimeDelta;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::bucket::{Answer, Object, Request};
use super::clock::beginning;
use super::waiting::{Wait, Waiting};
use super::world::Shared;

/// One process's way to the bucket.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    world: Arc<Shared>,
    process: usize,
}

impl Connection {
    pub(super) fn new(world: &Arc<Shared>, process: usize) -> Self {
        Self {
            world: Arc::clone(world),
            process,
        }
    }

    async fn ask(&self, request: Request) -> Result<Answer> {
        Waiting::new(&self.world, self.process, Wait::For(request)).await
    }

    async fn write(&self, request: Request) -> Result<PutResult> {
        match self.ask(request).await? {
            Answer::Written(etag) => Ok(PutResult {
                e_tag: Some(etag),
                version: None,
                extensions: http::Extensions::new(),
            }),
            other => unreachable!("{other:?} is no answer to a write"),
        }
    }
}

fn meta(path: Path, object: &Object) -> ObjectMeta {
    ObjectMeta {
        location: path,
        last_modified: beginning() + TimeDelta::from_std(object.written).unwrap_or(TimeDelta::MAX),
        size: object.bytes.len() as u64,
        e_tag: Some(object.etag.clone()),
        version: None,
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket of process {}", self.process)
    }
}

#[async_trait]
impl ObjectStore for Connection {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.write(Request::Put {
            path: path.clone(),
            bytes: payload.into(),
            mode: options.mode,
            attributes: options.attributes,
        })
        .await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let request = Request::Get {
            path: path.clone(),
            head: options.head,
            range: options.range,
            if_match: options.if_match,
        };
        match self.ask(request).await? {
            Answer::Object(object, range) => {
                let slice = usize::try_from(range.start).unwrap_or(0)..usize::try_from(range.end).unwrap_or(0);
                let bytes = object.bytes.slice(slice);
                Ok(GetResult {
                    payload: GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed()),
                    meta: meta(path.clone(), &object),
                    range,
                    attributes: object.attributes,
                    extensions: http::Extensions::new(),
                })
            }
            other => unreachable!("{other:?} is no answer to a read"),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (connection, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let listed = async move {
            match connection.ask(Request::List { prefix }).await? {
                Answer::Listed(objects) => {
                    let metas = objects.into_iter().map(|(path, object)| Ok(meta(path, &object)));
                    Ok::<_, Error>(stream::iter(metas.collect::<Vec<_>>()))
                }
                other => unreachable!("{other:?} is no answer to a listing"),
            }
        };
        stream::once(listed)
            .flat_map(|listed| match listed {
                Ok(metas) => metas.boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let request = Request::List { prefix: prefix.clone() };
        let Answer::Listed(objects) = self.ask(request).await? else {
            unreachable!("a listing has objects");
        };
        let mut listed = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
            extensions: http::Extensions::new(),
        };
        for (path, object) in objects {
            let rest: Vec<_> = path.prefix_match(&prefix).into_iter().flatten().collect();
            match rest.as_slice() {
                [folder, _, ..] => listed.common_prefixes.push(prefix.clone().join(folder.clone())),
                _ => listed.objects.push(meta(path, &object)),
            }
        }
        listed.common_prefixes.dedup();
        Ok(listed)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let connection = self.clone();
        paths
            .then(move |path| {
                let connection = connection.clone();
                async move {
                    let path = path?;
                    connection.ask(Request::Delete { path: path.clone() }).await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("uploads go through `MultipartStore`")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("nothing is copied")
    }
}

#[async_trait]
impl MultipartStore for Connection {
    async fn create_multipart(&self, _: &Path) -> Result<MultipartId> {
        unreachable!("uploads have metadata")
    }

    async fn create_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<MultipartId> {
        let request = Request::Begin {
            path: path.clone(),
            attributes: options.attributes,
        };
        match self.ask(request).await? {
            Answer::Begun(id) => Ok(id),
            other => unreachable!("{other:?} is no upload"),
        }
    }

    async fn put_part(&self, _: &Path, id: &MultipartId, number: usize, data: PutPayload) -> Result<PartId> {
        let request = Request::Piece {
            upload: id.clone(),
            number,
            bytes: Bytes::from(data),
        };
        let written = self.write(request).await?;
        Ok(PartId {
            content_id: written.e_tag.unwrap_or_default(),
        })
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, _: Vec<PartId>) -> Result<PutResult> {
        self.write(Request::Complete {
            path: path.clone(),
            upload: id.clone(),
        })
        .await
    }

    async fn abort_multipart(&self, _: &Path, id: &MultipartId) -> Result<()> {
        self.ask(Request::Abort { upload: id.clone() }).await.map(drop)
    }
}
