//! `file://` as an object store that can hold a Delta log: `object_store`'s own
//! local store never fsyncs, so a commit it acknowledged may be gone after a
//! power loss. Reading and listing are its own; writing goes through [`Tree`].

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path as FsPath;
use std::slice;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, RenameTargetMode, Result, UploadPart,
};

use rustix::fs::{self, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::ranges::{Room, room};
use super::tree::{Publish, Temp, Tree, is_temp};

const NAME: &str = "file";
/// Bytes of names that the kernel gives at once.
const LISTED: usize = 64 << 10;

/// A folder as an object store, fsynced before anything is acknowledged.
#[derive(Debug)]
pub struct DurableLocal {
    inner: LocalFileSystem,
    tree: Arc<Tree>,
}

impl DurableLocal {
    /// Opens a folder, which is made when missing.
    pub fn open(root: &FsPath) -> Result<DurableLocal, crate::Error> {
        let context = || format!("store folder {} could not be opened", root.display());
        let tree = Tree::open(root).map_err(crate::Error::disk(context()))?;
        let inner = LocalFileSystem::new_with_prefix(tree.root())
            .map_err(crate::Error::store(context()))?;
        Ok(DurableLocal { inner, tree })
    }

    pub fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableLocal({})", self.tree.root().display())
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let how = match opts.mode {
            PutMode::Create => Publish::Create,
            PutMode::Overwrite => Publish::Overwrite,
            PutMode::Update(_) => return Err(unsupported("put with PutMode::Update")),
        };
        if !opts.attributes.is_empty() {
            return Err(unsupported("put with attributes"));
        }
        let dest = self.inner.path_to_filesystem(location)?;
        let (tree, name) = (self.tree.clone(), location.clone());
        blocking(move || {
            let temp = tree.temp(&dest).map_err(|error| failed(&name, error))?;
            payload
                .iter()
                .try_for_each(|bytes| io::Write::write_all(&mut temp.file(), bytes))
                .and_then(|()| temp.publish(how))
                .map_err(|error| failed(&name, error))?;
            Ok(PutResult { e_tag: None, version: None })
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !opts.attributes.is_empty() {
            return Err(unsupported("multipart put with attributes"));
        }
        let dest = self.inner.path_to_filesystem(location)?;
        let (tree, name) = (self.tree.clone(), location.clone());
        let temp = blocking(move || tree.temp(&dest).map_err(|error| failed(&name, error))).await?;
        Ok(Box::new(Upload { temp: Some(Arc::new(temp)), name: location.clone(), offset: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let ranged = options.range.is_some() && !options.head;
        let mut found = self.inner.get_opts(location, options).await?;
        if ranged && let GetResultPayload::File(file, _) = found.payload {
            let bytes = filled(location, slice::from_ref(&found.range), || Ok(file)).await?;
            let body = stream::iter(bytes.into_iter().map(Ok)).boxed();
            found.payload = GetResultPayload::Stream(body);
        }
        Ok(found)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let path = self.inner.path_to_filesystem(location)?;
        filled(location, ranges, || File::open(path)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_with_offset(prefix, &Path::default())
    }

    /// A folder lists in any order; readers of a Delta log rely on that of names,
    /// which every remote store gives.
    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (tree, offset) = (self.tree.clone(), offset.clone());
        let prefix = prefix.cloned().unwrap_or_default();
        let listed = blocking(move || {
            let mut listed = after(tree.root(), &prefix, &offset)?;
            listed.sort_unstable_by(|a, b| a.location.cmp(&b.location));
            Ok(stream::iter(listed.into_iter().map(Ok)))
        });
        stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let how = match options.mode {
            CopyMode::Create => Publish::Create,
            CopyMode::Overwrite => Publish::Overwrite,
        };
        let source = self.inner.path_to_filesystem(from)?;
        let dest = self.inner.path_to_filesystem(to)?;
        let (tree, from, to) = (self.tree.clone(), from.clone(), to.clone());
        blocking(move || {
            let mut source = File::open(source).map_err(|error| failed(&from, error))?;
            let temp = tree.temp(&dest).map_err(|error| failed(&to, error))?;
            io::copy(&mut source, &mut temp.file())
                .and_then(|_| temp.publish(how))
                .map_err(|error| failed(&to, error))
        })
        .await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let how = match options.target_mode {
            RenameTargetMode::Create => Publish::Create,
            RenameTargetMode::Overwrite => Publish::Overwrite,
        };
        let source = self.inner.path_to_filesystem(from)?;
        let dest = self.inner.path_to_filesystem(to)?;
        let (tree, name) = (self.tree.clone(), to.clone());
        blocking(move || tree.rename(&source, &dest, how).map_err(|error| failed(&name, error)))
            .await
    }
}

#[derive(Debug)]
struct Upload {
    /// Gone once completed or aborted.
    temp: Option<Arc<Temp>>,
    name: Path,
    offset: u64,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let offset = self.offset;
        self.offset += data.content_length() as u64;
        let (temp, name) = (self.temp.clone(), self.name.clone());
        let write = move || {
            let temp = temp.ok_or_else(|| over(&name))?;
            let mut at = offset;
            for bytes in data.iter() {
                temp.file().write_all_at(bytes, at).map_err(|error| failed(&name, error))?;
                at += bytes.len() as u64;
            }
            Ok(())
        };
        blocking(write).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let name = self.name.clone();
        let temp = self.temp.take().ok_or_else(|| over(&name))?;
        blocking(move || {
            temp.publish(Publish::Overwrite).map_err(|error| failed(&name, error))?;
            Ok(PutResult { e_tag: None, version: None })
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        let temp = self.temp.take();
        blocking(move || {
            drop(temp);
            Ok(())
        })
        .await
    }
}

/// Ranges of a file, in memory of the thread that asks.
async fn filled(
    location: &Path,
    ranges: &[Range<u64>],
    open: impl FnOnce() -> io::Result<File> + Send + 'static,
) -> Result<Vec<Bytes>> {
    let rooms = ranges.iter().map(room).collect::<io::Result<Vec<Room>>>();
    let rooms = rooms.map_err(|error| failed(location, error))?;
    let name = location.clone();
    let filled = blocking(move || {
        let fill = |file: File| rooms.into_iter().map(|room| room.fill(&file)).collect();
        open().and_then(fill).map_err(|error| failed(&name, error))
    });
    let filled: Vec<Room> = filled.await?;
    Ok(filled.into_iter().map(Room::bytes).collect())
}

/// The files below a folder whose names come after `offset`. Of the others nothing
/// is copied: a Delta log has ten thousand entries before the one that is asked for.
fn after(root: &FsPath, prefix: &Path, offset: &Path) -> Result<Vec<ObjectMeta>> {
    let mut found = Vec::new();
    let mut folders = vec![prefix.as_ref().to_owned()];
    let mut buffer = Vec::with_capacity(LISTED);
    while let Some(folder) = folders.pop() {
        let here = |error: Errno| failed(&Path::from(folder.as_str()), error.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = match fs::open(root.join(&folder), flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            open => open.map_err(here)?,
        };
        // What names in this folder are compared with.
        let least = match (folder.as_str(), offset.as_ref()) {
            ("", offset) => Some(offset),
            (folder, offset) => offset.strip_prefix(folder).and_then(|name| name.strip_prefix('/')),
        };
        let mut entries = RawDir::new(open, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(here)?;
            let (name, kind) = (entry.file_name().to_bytes(), entry.file_type());
            let passed = least.is_some_and(|least| name <= least.as_bytes());
            if passed && kind == FileType::RegularFile || matches!(name, b"." | b"..") {
                continue;
            }
            let name = String::from_utf8_lossy(name);
            let path = match folder.as_str() {
                "" => name.to_string(),
                folder => format!("{folder}/{name}"),
            };
            if kind == FileType::Directory {
                folders.push(path);
                continue;
            }
            // Of what a link leads to; not every file system tells kinds in its lists.
            let seen = match std::fs::metadata(root.join(&path)) {
                Err(error) if absent(&error) => continue,
                seen => seen.map_err(|error| failed(&Path::from(path.as_str()), error))?,
            };
            if seen.is_dir() {
                folders.push(path);
                continue;
            }
            if path.as_str() <= offset.as_ref() || is_temp(FsPath::new(name.as_ref())) {
                continue;
            }
            let modified = seen.modified();
            found.push(ObjectMeta {
                location: Path::parse(&path)?,
                last_modified: modified
                    .map_err(|error| failed(&Path::from(path.as_str()), error))?
                    .into(),
                size: seen.len(),
                e_tag: None,
                version: None,
            });
        }
    }
    Ok(found)
}

/// A file that is gone by now, or was never a folder.
fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Disk work leaves the I/O runtime; without one it runs here.
async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::runtime::Handle::try_current() {
        Ok(handle) => match handle.spawn_blocking(work).await {
            Ok(result) => result,
            Err(source) => Err(Error::Generic { store: NAME, source: source.into() }),
        },
        Err(_) => work(),
    }
}

fn failed(location: &Path, source: io::Error) -> Error {
    let path = location.to_string();
    match source.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: source.into() },
        io::ErrorKind::NotFound => Error::NotFound { path, source: source.into() },
        _ => Error::Generic { store: NAME, source: format!("{path}: {source}").into() },
    }
}

fn over(location: &Path) -> Error {
    let source = format!("{location}: the upload was completed or aborted").into();
    Error::Generic { store: NAME, source }
}

fn unsupported(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.into(), implementer: "DurableLocal".into() }
}
