//! Which shards there are, and where every plane of every tensor lies.

use super::WEIGHT;
use super::document::{Dialect, Document, to_json};
use crate::affine::{AffineLayout, AffinePlane};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::{self, safetensors};
use crate::model::{Metadata, OutputTensor, TensorInfo, Value};
use crate::tensor::Encoding;
use serde_json::json;
use std::collections::BTreeMap;

/// The most bytes of tensors in one shard, but for a tensor that has more alone: mlx_lm's 5 GiB.
pub const SHARD_BYTES: u64 = 5 << 30;

/// The shards of a model, its index, and where everything lies.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The files with tensors.
    pub shards: Vec<Shard>,
    /// The text of the index.
    pub index: Vec<u8>,
    /// For every tensor of the plan and each of its planes: the shard, and the offset in it.
    pub places: Vec<Vec<(usize, u64)>>,
}

/// One file with tensors.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Its name.
    pub name: String,
    /// What it looks like.
    pub layout: format::Layout,
    /// How many tensors it has, each plane one.
    pub tensors: usize,
}

impl Layout {
    /// Lays out a plan's tensors in their order. A tensor in planes must be called `NAME.weight`; its
    /// planes become `NAME.weight`, `NAME.scales` and, where they exist, `NAME.biases`.
    ///
    /// # Errors
    /// `misuse` for tensors in planes with another name, for types that safetensors lack and for two
    /// tensors of one name; `limit` for sizes that overflow.
    pub fn new(tensors: &[OutputTensor], document: &Document, shard_bytes: u64) -> Result<Self> {
        let mut shards: Vec<Vec<TensorInfo>> = vec![Vec::new()];
        let (mut filled, mut total) = (0u64, 0u64);
        let mut spots = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let planes = planes(tensor).map_err(|e| e.in_tensor(&tensor.name))?;
            let mut own = Vec::with_capacity(planes.len());
            for plane in planes {
                let bytes = plane.dtype.tensor_bytes(&plane.shape)? as u64;
                let full = filled
                    .checked_add(bytes)
                    .is_none_or(|len| len > shard_bytes);
                if full && shards.last().is_some_and(|shard| !shard.is_empty()) {
                    shards.push(Vec::new());
                    filled = 0;
                }
                filled = filled.saturating_add(bytes);
                total = total.saturating_add(bytes);
                let shard = shards.len() - 1;
                own.push((shard, shards[shard].len()));
                shards[shard].push(plane);
            }
            spots.push(own);
        }
        let index = index(&shards, total, document)?;
        let count = shards.len();
        let format = match document.dialect {
            Dialect::Mlx => "mlx",
            Dialect::HuggingFace => "pt",
        };
        let metadata: Metadata = [("format".to_owned(), Value::from(format))].into();
        let shards = shards.into_iter().enumerate().map(|(i, infos)| {
            Ok(Shard {
                name: shard_name(i, count),
                layout: safetensors::layout(&infos, &metadata)?,
                tensors: infos.len(),
            })
        });
        let shards: Vec<_> = shards.collect::<Result<_>>()?;
        let place = |(shard, tensor): (usize, usize)| (shard, shards[shard].layout.offsets[tensor]);
        let places = spots
            .into_iter()
            .map(|own| own.into_iter().map(place).collect());
        Ok(Self {
            places: places.collect(),
            shards,
            index,
        })
    }
}

/// What the planes of a tensor are called and stored as.
fn planes(tensor: &OutputTensor) -> Result<Vec<TensorInfo>> {
    let spec = match &tensor.encoding {
        Encoding::Affine(spec) => spec,
        _ => return Ok(vec![tensor.info()?]),
    };
    let Some(stem) = tensor.name.strip_suffix(WEIGHT) else {
        return Err(Error::misuse(
            "only tensors whose name ends in .weight can be quantized for MLX",
        ));
    };
    let layout = AffineLayout::new(spec, &tensor.shape)?;
    let info = |end: &str, plane: &AffinePlane| TensorInfo {
        name: format!("{stem}{end}"),
        dtype: match plane.dtype {
            // MLX has no types of 8-bit floats.
            DType::F8E8M0 | DType::F8E4M3 => DType::U8,
            dtype => dtype,
        },
        shape: plane.shape.clone(),
    };
    let mut planes = vec![
        info(WEIGHT, layout.codes()),
        info(".scales", layout.scales()),
    ];
    planes.extend(layout.zeros().map(|zeros| info(".biases", zeros)));
    Ok(planes)
}

fn shard_name(index: usize, count: usize) -> String {
    match count {
        1 => "model.safetensors".to_owned(),
        _ => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
    }
}

fn index(shards: &[Vec<TensorInfo>], total: u64, document: &Document) -> Result<Vec<u8>> {
    let mut weight_map = BTreeMap::new();
    for (i, shard) in shards.iter().enumerate() {
        let name = shard_name(i, shards.len());
        for info in shard {
            if weight_map
                .insert(info.name.as_str(), name.clone())
                .is_some()
            {
                let error = Error::misuse("there are two tensors of this name");
                return Err(error.in_tensor(&info.name));
            }
        }
    }
    to_json(&json!({
        "metadata": {"total_size": total, "total_parameters": document.parameters},
        "weight_map": weight_map,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::affine::AffineSpec;
    use crate::error::ErrorKind;
    use crate::model::Expr;

    fn tensor(name: &str, rows: usize, encoding: Encoding) -> OutputTensor {
        OutputTensor {
            name: name.to_owned(),
            shape: vec![rows, 64],
            encoding,
            source: Expr::input(name),
            importance: None,
        }
    }

    #[test]
    fn shards_are_full_before_others_begin() {
        let four = Encoding::Affine(AffineSpec::mlx(4, 64, DType::F16));
        let tensors = [
            tensor("a.weight", 2, four),
            tensor("b.weight", 8, Encoding::Block(DType::F32)),
            tensor("c.weight", 1, Encoding::Block(DType::F16)),
        ];
        // 64 bytes of codes, 4 of scales, 4 of biases; 2048; 128.
        let layout = Layout::new(&tensors, &Document::default(), 70).unwrap();
        let names: Vec<_> = layout
            .shards
            .iter()
            .map(|s| (&s.name[..], s.tensors))
            .collect();
        assert_eq!(
            names,
            [
                ("model-00001-of-00004.safetensors", 2),
                ("model-00002-of-00004.safetensors", 1),
                ("model-00003-of-00004.safetensors", 1),
                ("model-00004-of-00004.safetensors", 1),
            ]
        );
        let shards: Vec<Vec<_>> = layout
            .places
            .iter()
            .map(|own| own.iter().map(|p| p.0).collect())
            .collect();
        assert_eq!(shards, [vec![0, 0, 1], vec![2], vec![3]]);
        let index: serde_json::Value = serde_json::from_slice(&layout.index).unwrap();
        assert_eq!(index["metadata"]["total_size"], 72 + 2048 + 128);
        assert_eq!(index["weight_map"]["a.biases"], names[1].0);
        let one = Layout::new(&tensors, &Document::default(), SHARD_BYTES).unwrap();
        assert_eq!(one.shards.len(), 1);
        assert_eq!(one.shards[0].name, "model.safetensors");
    }

    #[test]
    fn planes_need_names_that_tell_them_apart() {
        let four = Encoding::Affine(AffineSpec::mlx(4, 64, DType::F16));
        let error = Layout::new(&[tensor("a", 2, four.clone())], &Document::default(), 70);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Misuse);
        let twice = [
            tensor("a.weight", 2, four),
            tensor("a.scales", 1, Encoding::Block(DType::F16)),
        ];
        let error = Layout::new(&twice, &Document::default(), 1 << 20).unwrap_err();
        assert!(error.to_string().contains("a.scales"), "{error}");
    }
}
