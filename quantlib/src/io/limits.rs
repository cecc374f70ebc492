//! How much a file may claim before it is believed.

/// Bounds on what readers accept, checked before anything is allocated.
///
/// The defaults are far above every real model and far below what hurts. Besides these, every
/// count and length must fit into the bytes that the file really has.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Most tensors in a model.
    pub tensors: u64,
    /// Most metadata keys.
    pub metadata_keys: u64,
    /// Longest header (everything but tensor data), in bytes.
    pub header_bytes: u64,
    /// Longest name or key, in bytes.
    pub name_bytes: u64,
    /// Deepest nesting of arrays, JSON values or messages.
    pub depth: u32,
    /// Most dimensions of a tensor.
    pub dimensions: u32,
    /// Most fields in the messages of a protobuf file; each takes some 32 bytes of memory.
    pub fields: u64,
    /// Most files of a split or sharded model.
    pub files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tensors: 1 << 20,
            metadata_keys: 1 << 16,
            header_bytes: 1 << 30,
            name_bytes: 1 << 16,
            depth: 64,
            dimensions: 8,
            fields: 1 << 23,
            files: 1 << 14,
        }
    }
}
