//! GGUF files put together byte by byte, without the library's own writer.

#![allow(dead_code, reason = "each test binary uses a part of this")]

/// A file under construction.
#[derive(Clone)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Magic, version 3 and the two counts.
    pub(crate) fn start(tensors: u64, keys: u64) -> Self {
        Self::new().raw(b"GGUF").u32(3).u64(tensors).u64(keys)
    }

    /// A file of one tensor and no keys, up to the tensor's data.
    pub(crate) fn tensor(name: &str, dims: &[u64], dtype: u32, offset: u64) -> Self {
        Self::start(1, 0)
            .string(name)
            .tensor_rest(dims, dtype, offset)
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn u8(self, value: u8) -> Self {
        self.raw(&[value])
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn string(self, value: &str) -> Self {
        self.u64(value.len() as u64).raw(value.as_bytes())
    }

    pub(crate) fn zeros(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// A tensor's description after its name; `dims` in ggml's order.
    pub(crate) fn tensor_rest(self, dims: &[u64], dtype: u32, offset: u64) -> Self {
        let start = self.u32(dims.len() as u32);
        let with_dims = dims.iter().fold(start, |bytes, &dim| bytes.u64(dim));
        with_dims.u32(dtype).u64(offset)
    }

    /// Pads the header to 32 bytes and appends `count` bytes of data.
    pub(crate) fn data(self, count: usize) -> Self {
        let padding = self.0.len().next_multiple_of(32) - self.0.len();
        self.zeros(padding).zeros(count)
    }
}

/// A small file with most kinds of values and two tensors, the last of which ends the file.
pub(crate) fn valid() -> Vec<u8> {
    let keys = Bytes::start(2, 6)
        .string("general.architecture")
        .u32(8)
        .string("llama")
        .string("flag")
        .u32(7)
        .u8(1)
        .string("number")
        .u32(10)
        .u64(7)
        .string("words")
        .u32(9)
        .u32(8)
        .u64(2)
        .string("a")
        .string("bc")
        .string("nested")
        .u32(9)
        .u32(9)
        .u64(2)
        .u32(2)
        .u64(1)
        .u16(1)
        .u32(0)
        .u64(0)
        .string("floats")
        .u32(9)
        .u32(6)
        .u64(2)
        .u32(0)
        .u32(0x3F80_0000);
    let tensors = keys
        .string("token_embd.weight")
        .tensor_rest(&[32, 2], 8, 0)
        .string("norm.weight")
        .tensor_rest(&[8], 0, 96);
    tensors.data(96 + 32).0
}
