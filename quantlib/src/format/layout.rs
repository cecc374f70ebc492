//! Where everything lies in a file that is about to be written.

/// A file's shape, known before its tensors are: they may be written in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The first bytes of the file: everything but tensors and padding.
    pub head: Vec<u8>,
    /// The offset in the file of every tensor's first byte.
    pub offsets: Vec<u64>,
    /// Length of the file. Its bytes that are neither in `head` nor in a tensor are zeros.
    pub file_len: u64,
}
