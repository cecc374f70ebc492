//! Jobs on models in memory: values against a naive evaluation, and the promises of [`Job`].

mod expressions;
mod promises;

use crate::dtype::DType;
use crate::error::Result;
use crate::model::{Metadata, Model, Reader, TensorInfo};

/// A model whose tensors lie in memory.
#[derive(Debug)]
struct Memory(Vec<Vec<u8>>);

impl Reader for Memory {
    fn read_at(&self, index: usize, offset: u64, buf: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap();
        buf.copy_from_slice(&self.0[index][start..start + buf.len()]);
        Ok(())
    }
}

struct Tensor {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    data: Vec<u8>,
}

fn model(tensors: Vec<Tensor>) -> Model {
    let info = |tensor: &Tensor| TensorInfo {
        name: tensor.name.clone(),
        dtype: tensor.dtype,
        shape: tensor.shape.clone(),
    };
    let infos = tensors.iter().map(info).collect();
    let data = tensors.into_iter().map(|tensor| tensor.data).collect();
    Model::new(
        "memory",
        "memory",
        infos,
        Metadata::new(),
        Box::new(Memory(data)),
    )
    .unwrap()
}

/// Small numbers that follow from a seed, for shapes and bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    /// From `low` up to and including `high`.
    fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.next() as usize % (high - low + 1)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.between(0, from.len() - 1)]
    }

    /// A normal number of moderate size, exact in every plain float.
    fn float(&mut self) -> f32 {
        (self.between(0, 255) as f32 - 127.5) / 16.0
    }
}
