//! A file that is read by position, from many threads at once.

use crate::error::{Error, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// An open file with its length at the time of opening.
#[derive(Debug)]
pub(crate) struct FileSource {
    file: File,
    path: PathBuf,
    len: u64,
}

impl FileSource {
    /// Opens a regular file for reading.
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |e| Error::io("cannot open", e).in_file(path);
        // Asked before opening, which would wait for the other end of a pipe.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::misuse("is not a regular file").in_file(path));
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            len: metadata.len(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buf` from `offset`. A read past the end is `malformed`: callers checked the header's
    /// claims against the length, so the file shrank under them.
    pub(crate) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        read_exact_at(&self.file, buf, offset).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::malformed(format!(
                "ends before the {} bytes at offset {offset}; the file is truncated",
                buf.len()
            ))
            .in_file(&self.path),
            _ => Error::io(
                format!("cannot read {} bytes at offset {offset}", buf.len()),
                e,
            )
            .in_file(&self.path),
        })
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buf, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buf: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !buf.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buf, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => {
                buf = &mut buf[n..];
                offset += n as u64;
            }
        }
    }
    Ok(())
}
