//! Temporary names beside a target, and a lock that tells the living from the dead.
//!
//! A run on the target `NAME` uses `.NAME.quantlib-ID.lock`, which it keeps locked, and other names
//! that begin with `.NAME.quantlib-ID.`. The lock file is made before them and removed after them,
//! so names without a locked lock file belong to a run that was killed.

use crate::error::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The end of the name of a folder that is being replaced.
const OLD: &str = "old";

/// File systems allow 255 bytes in a name; this much of the target's leaves room for the rest.
const NAME_BYTES: usize = 200;

/// The temporary names of one run.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    /// `.NAME.quantlib-ID`
    stem: String,
    /// Held, not used: closing the file releases the lock.
    _lock: File,
}

impl Staging {
    /// Removes what dead runs on `target` left, and claims names for this one.
    pub(super) fn beside(target: &Path) -> Result<Self> {
        let folder = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let prefix = prefix(target);
        let failed = |e| Error::io("cannot create the output", e).in_file(target);
        remove_dead(&folder, &prefix, target);
        loop {
            let stem = format!("{prefix}{}", fresh_id());
            if let Some(lock) = claim(&lock_path(&folder, &stem)).map_err(failed)? {
                return Ok(Self {
                    folder,
                    stem,
                    _lock: lock,
                });
            }
        }
    }

    /// A temporary path of this run.
    pub(super) fn path(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}.{suffix}", self.stem))
    }

    /// Where a folder waits while its successor takes its place.
    pub(super) fn old(&self) -> PathBuf {
        self.path(OLD)
    }

    /// Makes the renames durable.
    pub(super) fn sync_folder(&self) -> Result<()> {
        sync_folder(&self.folder)
    }
}

impl Drop for Staging {
    /// Removes whatever was not renamed. What cannot be removed is left to the next run.
    fn drop(&mut self) {
        remove_all(&self.folder, &self.stem);
    }
}

fn prefix(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let end = (0..=name.len().min(NAME_BYTES))
        .rfind(|&end| name.is_char_boundary(end))
        .unwrap_or(0);
    format!(".{}.quantlib-", &name[..end])
}

fn lock_path(folder: &Path, stem: &str) -> PathBuf {
    folder.join(format!("{stem}.lock"))
}

/// A name that no other run has: process, time, and a counter for calls of the same instant.
fn fresh_id() -> String {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |t| t.subsec_nanos());
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{time:x}-{call:x}", std::process::id())
}

/// Creates and locks a lock file; `None` if another run took it for dead before it was locked.
fn claim(path: &Path) -> io::Result<Option<File>> {
    let file = match File::create_new(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(e) => return Err(e),
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        // A file system without locks: others cannot lock the file either, and leave it alone.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(path.exists().then_some(file)),
    }
}

/// Removes the temporaries of runs that are no more. What cannot be removed, say for lack of
/// permission, does no harm to this run.
fn remove_dead(folder: &Path, prefix: &str, target: &Path) {
    for name in names(folder, prefix).unwrap_or_default() {
        let id = name[prefix.len()..].split('.').next().unwrap_or_default();
        let stem = format!("{prefix}{id}");
        let lock_path = lock_path(folder, &stem);
        let _lock = match File::open(&lock_path) {
            Ok(file) if file.try_lock().is_ok() => Some(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            _ => continue,
        };
        let old = folder.join(format!("{stem}.{OLD}"));
        if !target.exists() && old.exists() {
            // Killed between the two renames that replace a folder.
            drop(fs::rename(old, target));
        }
        remove_all(folder, &stem);
    }
}

/// Removes everything of one run, the lock file last.
fn remove_all(folder: &Path, stem: &str) {
    let lock_path = lock_path(folder, stem);
    for name in names(folder, stem).unwrap_or_default() {
        let path = folder.join(&name);
        let own = name[stem.len()..].is_empty() || name[stem.len()..].starts_with('.');
        if !own || path == lock_path {
            continue;
        }
        let removed = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(e) => Err(e),
        };
        if removed.is_err_and(|e| e.kind() != io::ErrorKind::NotFound) {
            return;
        }
    }
    drop(fs::remove_file(lock_path));
}

/// The names in `folder` that begin with `prefix`.
fn names(folder: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        if let Ok(name) = entry?.file_name().into_string()
            && name.starts_with(prefix)
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// Syncs a folder's entries; elsewhere than on Unix the system does not offer it.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|e| Error::io("cannot sync the folder", e).in_file(folder))?;
    }
    Ok(())
}
