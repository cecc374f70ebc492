//! The C ABI of quantlib; `include/quantlib.h` is generated from it.
//!
//! Rules (docs/c-api.md has them for users):
//! - a call that can fail returns a [`ql_status`]; look-ups return their value;
//! - no panic crosses the boundary: it becomes `QL_ERROR_INTERNAL`;
//! - what an `_open` or `_create` call made, exactly one `_close` call ends;
//! - borrowed pointers (names, values) live as long as the handle that they came from;
//! - structs that may grow begin with `struct_size`, and all-zero means defaults.

#![allow(non_camel_case_types, reason = "the names are C's")]

mod affine;
mod codec;
mod dtype;
mod job;
mod matvec;
mod memory;
mod model;
mod options;
mod settings;
mod status;
mod transcode;
mod value;
mod writer;

pub use affine::*;
pub use codec::*;
pub use dtype::*;
pub use job::*;
pub use matvec::*;
pub use model::*;
pub use options::*;
pub use status::*;
pub use transcode::*;
pub use value::*;
pub use writer::*;
