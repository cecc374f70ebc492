//! Status codes, the message of the last error, and the boundary that no panic crosses.

use quantlib::{Error, ErrorKind};
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a call returned. The numbers never change; new ones may be added.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ql_status {
    /// It worked.
    QL_OK = 0,
    /// The operating system refused: a missing file, a full disk, a lost permission.
    QL_ERROR_IO = 1,
    /// A file does not follow its format.
    QL_ERROR_MALFORMED = 2,
    /// The caller passed something that cannot work.
    QL_ERROR_MISUSE = 3,
    /// The input is fine, but nothing here can do this with it.
    QL_ERROR_UNSUPPORTED = 4,
    /// A limit of memory or size would be exceeded.
    QL_ERROR_LIMIT = 5,
    /// The progress callback asked to stop.
    QL_ERROR_CANCELLED = 6,
    /// A bug in this library; the message says where.
    QL_ERROR_INTERNAL = 7,
}

use ql_status::*;

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

fn set_message(message: &str) {
    let bytes: Vec<u8> = message.bytes().filter(|&b| b != 0).collect();
    LAST_ERROR.set(CString::new(bytes).unwrap_or_default());
}

fn code(kind: ErrorKind) -> ql_status {
    match kind {
        ErrorKind::Io => QL_ERROR_IO,
        ErrorKind::Malformed => QL_ERROR_MALFORMED,
        ErrorKind::Misuse => QL_ERROR_MISUSE,
        ErrorKind::Unsupported => QL_ERROR_UNSUPPORTED,
        ErrorKind::Limit => QL_ERROR_LIMIT,
        ErrorKind::Cancelled => QL_ERROR_CANCELLED,
        _ => QL_ERROR_INTERNAL,
    }
}

/// Runs the body of an entry point: errors and panics become a status and this thread's message.
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Error>) -> ql_status {
    set_message("");
    // Handles that a panic left half-changed are only ever closed afterwards.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => QL_OK,
        Ok(Err(error)) => {
            set_message(&error.to_string());
            code(error.kind())
        }
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            set_message(&format!("internal error, please report it: {text}"));
            QL_ERROR_INTERNAL
        }
    }
}

pub(crate) fn misuse(message: &str) -> Error {
    Error::new(ErrorKind::Misuse, message)
}

/// What the last call of this thread complained about; "" if it did not. Valid until this thread's
/// next call.
#[unsafe(no_mangle)]
pub extern "C" fn ql_last_error_message() -> *const c_char {
    LAST_ERROR.with_borrow(|message| message.as_ptr())
}

/// The version of this library, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn ql_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}
