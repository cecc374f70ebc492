//! Output sets: one or several files that appear whole or not at all.
//!
//! Everything is written under temporary names beside the target, synced, and then renamed: data
//! files first, the file that names them last; a new folder is built beside its place and renamed
//! as a whole. Whatever stops a run before the last rename leaves the old output, or none.

mod staging;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use staging::Staging;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Files being written, which [`commit`](Self::commit) puts in their places. Dropping the set
/// without it removes everything.
#[derive(Debug)]
pub(crate) struct OutputSet {
    files: Vec<OutputFile>,
    /// Set if the set becomes a folder.
    folder: Option<PathBuf>,
    // Dropped last: its lock tells other runs that the files are alive.
    staging: Staging,
}

#[derive(Debug)]
struct OutputFile {
    file: File,
    staged: PathBuf,
    target: PathBuf,
}

impl OutputSet {
    /// A set of one file. An existing file is replaced when the set is committed.
    ///
    /// # Errors
    /// Those of [`files`](Self::files).
    pub(crate) fn file(path: &Path, inputs: &[PathBuf]) -> Result<Self> {
        Self::files(&[path], inputs)
    }

    /// Files side by side in one folder, in the order of their renames: the one that names the
    /// others goes last. Temporaries that dead runs on the same target left behind are removed.
    ///
    /// # Errors
    /// `misuse` if a path is one of the `inputs` (or a link to one), there twice, or no regular file; `io`
    /// if the folder is missing or not writable.
    pub(crate) fn files(paths: &[&Path], inputs: &[PathBuf]) -> Result<Self> {
        let targets = paths
            .iter()
            .map(|path| file_target(path, inputs))
            .collect::<Result<Vec<_>>>()?;
        let twice = |(i, target): &(usize, &PathBuf)| targets[..*i].contains(target);
        if let Some((_, target)) = targets.iter().enumerate().find(twice) {
            let what = "is named for two outputs; choose another name for one of them";
            return Err(Error::misuse(what).in_file(target));
        }
        let last = targets
            .last()
            .ok_or_else(|| Error::misuse("a set of no files was asked for"))?;
        let staging = Staging::beside(last)?;
        let mut set = Self {
            files: Vec::with_capacity(targets.len()),
            folder: None,
            staging,
        };
        for target in targets {
            let staged = set.staging.path(&set.files.len().to_string());
            set.add(staged, target)?;
        }
        Ok(set)
    }

    /// A new folder with files of the given names in it.
    ///
    /// # Errors
    /// `misuse` if the folder exists and is not empty (unless `force`, which replaces it as a
    /// whole), or if it is or holds one of the `inputs`; `io` as for [`files`](Self::files).
    pub(crate) fn folder(
        path: &Path,
        names: &[&str],
        force: bool,
        inputs: &[PathBuf],
    ) -> Result<Self> {
        let target = folder_target(path, force, inputs)?;
        let staging = Staging::beside(&target)?;
        let built = staging.path("new");
        fs::create_dir(&built).map_err(|e| cannot_create(e, path))?;
        let mut set = Self {
            files: Vec::with_capacity(names.len()),
            folder: Some(target.clone()),
            staging,
        };
        for name in names {
            set.add(built.join(name), target.join(name))?;
        }
        Ok(set)
    }

    fn add(&mut self, staged: PathBuf, target: PathBuf) -> Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&staged)
            .map_err(|e| cannot_create(e, &target))?;
        self.files.push(OutputFile {
            file,
            staged,
            target,
        });
        Ok(())
    }

    /// A new file on the same disk for data on their way; it goes with the set, whatever happens.
    pub(crate) fn scratch(&self) -> Result<File> {
        let path = self.staging.path("scratch");
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| Error::io("cannot create a temporary file", e).in_file(path))
    }

    /// Gives the file its final length, filled with zeros, and reserves the space on the disk
    /// where the system can: a disk too small is found before the work, not after it.
    pub(crate) fn reserve(&self, file: usize, len: u64) -> Result<()> {
        let output = &self.files[file];
        reserve(&output.file, len).map_err(|e| {
            Error::io(format!("cannot reserve {len} bytes for the output"), e)
                .in_file(&output.target)
        })
    }

    /// Writes `bytes` at `offset` of the file with this index; from any thread.
    pub(crate) fn write_at(&self, file: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        let output = &self.files[file];
        write_all_at(&output.file, bytes, offset).map_err(|e| {
            Error::io(
                format!("cannot write {} bytes at offset {offset}", bytes.len()),
                e,
            )
            .in_file(&output.target)
        })
    }

    /// Brings the files onto the disk, which may take a while.
    pub(crate) fn sync(&self) -> Result<()> {
        self.files.iter().try_for_each(|output| {
            output
                .file
                .sync_all()
                .map_err(|e| Error::io("cannot write the output", e).in_file(&output.target))
        })
    }

    /// Syncs the files and renames them into their places.
    pub(crate) fn commit(self) -> Result<()> {
        self.sync()?;
        match &self.folder {
            Some(target) => self.commit_folder(target)?,
            None => self.commit_files()?,
        }
        self.staging.sync_folder()
    }

    fn commit_files(&self) -> Result<()> {
        let mut moves = Moves::default();
        let done = self.replace_files(&mut moves);
        if done.is_err() {
            moves.undo();
        }
        done
    }

    /// One file replaces its old one at once. Of several, the old ones make room one by one, the
    /// one that names the others first: so whatever stops this, no old file names new ones.
    fn replace_files(&self, moves: &mut Moves) -> Result<()> {
        let Some((naming, others)) = self.files.split_last() else {
            return Ok(());
        };
        let make_room = |moves: &mut Moves, i: usize, output: &OutputFile| {
            if !output.target.is_file() {
                return Ok(());
            }
            let aside = self.staging.path(&format!("was-{i}"));
            moves.rename(&output.target, &aside)
        };
        if !others.is_empty() {
            make_room(moves, others.len(), naming)?;
        }
        for (i, output) in others.iter().enumerate() {
            make_room(moves, i, output)?;
            moves.rename(&output.staged, &output.target)?;
        }
        moves.rename(&naming.staged, &naming.target)
    }

    fn commit_folder(&self, target: &Path) -> Result<()> {
        let (built, old) = (self.staging.path("new"), self.staging.old());
        staging::sync_folder(&built)?;
        if !is_filled(target) {
            // Where an empty folder stands in the way of a rename, it goes first.
            drop(fs::remove_dir(target));
            return fs::rename(&built, target).map_err(|e| cannot_replace(e, target));
        }
        fs::rename(target, &old).map_err(|e| cannot_replace(e, target))?;
        if let Err(error) = fs::rename(&built, target) {
            drop(fs::rename(&old, target));
            return Err(cannot_replace(error, target));
        }
        Ok(())
    }
}

/// Renames that were done, and can be undone.
#[derive(Default)]
struct Moves(Vec<[PathBuf; 2]>);

impl Moves {
    fn rename(&mut self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|e| cannot_replace(e, to))?;
        self.0.push([from.to_path_buf(), to.to_path_buf()]);
        Ok(())
    }

    /// The error being reported matters more than one of the renames back.
    fn undo(&self) {
        for [from, to] in self.0.iter().rev() {
            drop(fs::rename(to, from));
        }
    }
}

/// Where a file really goes: the file behind a link, so that the link stays.
fn file_target(path: &Path, inputs: &[PathBuf]) -> Result<PathBuf> {
    if path.file_name().is_none() {
        return Err(Error::misuse("is not a file name; name the output file").in_file(path));
    }
    let Ok(metadata) = fs::metadata(path) else {
        return Ok(path.to_path_buf());
    };
    if !metadata.is_file() {
        return Err(
            Error::misuse("exists and is not a regular file; choose another output").in_file(path),
        );
    }
    refuse_inputs(path, inputs)?;
    fs::canonicalize(path).map_err(|e| Error::io("cannot resolve", e).in_file(path))
}

fn folder_target(path: &Path, force: bool, inputs: &[PathBuf]) -> Result<PathBuf> {
    let Ok(metadata) = fs::metadata(path) else {
        return Ok(path.to_path_buf());
    };
    if !metadata.is_dir() {
        return Err(
            Error::misuse("exists and is not a folder; choose another output").in_file(path),
        );
    }
    refuse_inputs(path, inputs)?;
    let target =
        fs::canonicalize(path).map_err(|e| Error::io("cannot resolve", e).in_file(path))?;
    let holds_input = inputs
        .iter()
        .any(|input| fs::canonicalize(input).is_ok_and(|input| input.starts_with(&target)));
    if holds_input {
        return Err(Error::misuse("holds the input; choose another output").in_file(path));
    }
    if is_filled(&target) && !force {
        return Err(Error::misuse(
            "the folder is not empty; choose another output, or force its replacement",
        )
        .in_file(path));
    }
    Ok(target)
}

fn refuse_inputs(path: &Path, inputs: &[PathBuf]) -> Result<()> {
    if inputs.iter().any(|input| same_file(path, input)) {
        return Err(Error::misuse(
            "is the input itself; choose another output, for the input is read while the output is written",
        )
        .in_file(path));
    }
    Ok(())
}

fn is_filled(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

fn cannot_create(error: io::Error, path: &Path) -> Error {
    Error::io("cannot create the output", error).in_file(path)
}

fn cannot_replace(error: io::Error, path: &Path) -> Error {
    Error::io("cannot put the output in its place", error).in_file(path)
}

/// Whether two paths lead to one file, through whatever links.
#[cfg(unix)]
fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path| fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    id(a).is_some_and(|a| id(b) == Some(a))
}

/// Whether two paths lead to one file; hard links are not seen through here.
#[cfg(not(unix))]
fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

#[cfg(target_os = "linux")]
fn reserve(file: &File, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    file.set_len(len)?;
    if len == 0 {
        return Ok(());
    }
    match rustix::io::retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, len)) {
        // Not every file system can; a full disk then shows when the bytes are written.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => {
                bytes = &bytes[n..];
                offset += n as u64;
            }
        }
    }
    Ok(())
}
