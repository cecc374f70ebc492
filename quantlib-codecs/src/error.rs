//! One error type for the whole crate: a kind, what it concerns, and a sentence that says what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault an [`Error`] is. Each kind is one C status code and one Python exception class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused: a missing file, a full disk, a lost permission.
    Io,
    /// A file does not follow its format.
    Malformed,
    /// The caller passed something that cannot work: a wrong length, an unknown name.
    Misuse,
    /// The input is fine, but nothing here can do this with it.
    Unsupported,
    /// A limit of the reader, or a memory limit, would be exceeded.
    Limit,
    /// The caller, or the person at the keyboard, asked to stop.
    Cancelled,
}

impl ErrorKind {
    /// The kind's name in lower case, as the JSON reports show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Malformed => "malformed",
            Self::Misuse => "misuse",
            Self::Unsupported => "unsupported",
            Self::Limit => "limit",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What went wrong, in which file, tensor or key, and what to do about it.
///
/// ```
/// # use quantlib_codecs as quantlib;
/// use quantlib::{DType, ErrorKind};
/// let error = quantlib::quantize(&[0.0; 33], 33, DType::Q8_0, None).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Misuse);
/// ```
#[derive(Debug)]
pub struct Error(Box<Detail>);

#[derive(Debug)]
struct Detail {
    kind: ErrorKind,
    message: String,
    file: Option<PathBuf>,
    tensor: Option<String>,
    key: Option<String>,
    source: Option<std::io::Error>,
}

impl Error {
    /// An error of `kind`; `message` says what is wrong and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Detail {
            kind,
            message: message.into(),
            file: None,
            tensor: None,
            key: None,
            source: None,
        }))
    }

    /// An error of a file that does not follow its format.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, message)
    }

    /// An error of a call that cannot work.
    pub fn misuse(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Misuse, message)
    }

    /// An error of something that nothing here can do.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// An error of something that is too large.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, message)
    }

    /// The error of what was asked to stop.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "cancelled; no output was written")
    }

    /// An I/O error: `doing` says what was being done, such as "cannot open".
    pub fn io(doing: impl Into<String>, source: std::io::Error) -> Self {
        let mut error = Self::new(ErrorKind::Io, doing);
        error.0.source = Some(source);
        error
    }

    /// Names the file that the error concerns, unless a deeper place named one already.
    pub fn in_file(mut self, path: impl AsRef<Path>) -> Self {
        self.0
            .file
            .get_or_insert_with(|| path.as_ref().to_path_buf());
        self
    }

    /// Names the tensor that the error concerns, unless a deeper place named one already.
    pub fn in_tensor(mut self, name: impl Into<String>) -> Self {
        self.0.tensor.get_or_insert_with(|| name.into());
        self
    }

    /// Names the metadata key that the error concerns, unless a deeper place named one already.
    pub fn in_key(mut self, key: impl Into<String>) -> Self {
        self.0.key.get_or_insert_with(|| key.into());
        self
    }

    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file that the error concerns.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// The tensor that the error concerns.
    pub fn tensor(&self) -> Option<&str> {
        self.0.tensor.as_deref()
    }

    /// The metadata key that the error concerns.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }
}

/// Writes `file: tensor 'x': key 'y': message: operating system's words`, whatever of it is known.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail {
            message,
            file,
            tensor,
            key,
            source,
            ..
        } = &*self.0;
        if let Some(file) = file {
            write!(f, "{}: ", file.display())?;
        }
        if let Some(tensor) = tensor {
            write!(f, "tensor '{tensor}': ")?;
        }
        if let Some(key) = key {
            write!(f, "key '{key}': ")?;
        }
        f.write_str(message)?;
        match source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| e as _)
    }
}
