//! An MLX folder seen as the Hugging Face model that it was made of.

use super::config;
use super::original::{Given, originals};
use crate::arch::families;
use crate::arch::family::{Family, Rewrite, TypeClass};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::hf::Folder;
use crate::format::mlx::AsBlocks;
use crate::model::{Expr, Model, Plan, Reader, TensorInfo};
use crate::tensor::Encoding;
use std::collections::HashMap;
use std::path::Path;

/// The tensors that a Hugging Face model would have, in terms of those of an MLX folder.
pub(in crate::arch) struct Restored<'m> {
    model: &'m Model,
    family: Option<&'static Family>,
    tensors: Vec<TensorInfo>,
    values: HashMap<String, Expr>,
}

impl<'m> Restored<'m> {
    /// A folder of a model type that mlx_lm lacks has Hugging Face's names already.
    ///
    /// # Errors
    /// `malformed` if one of the tensors of a stack or of a joined projection is missing.
    pub(in crate::arch) fn new(folder: &Folder, model: &'m Model) -> Result<Self> {
        let given = model.own_tensors().iter().map(|info| Given {
            info: info.clone(),
            source: Expr::input(&info.name),
        });
        let family = Family::of(folder.architecture()?, families::ALL).ok();
        let described =
            family.and_then(|family| Some((family, config::model_type(folder, family).ok()?)));
        let originals = match described {
            Some((family, mlx)) => originals(given.collect(), family, mlx)?,
            None => given.map(|own| (own.info.name, own.source)).collect(),
        };
        let mut tensors = Vec::with_capacity(originals.len());
        for (name, values) in &originals {
            let typed = values.infer(&|name| model.tensor(name));
            let typed = typed.map_err(|e| e.in_tensor(name))?;
            tensors.push(TensorInfo {
                name: name.clone(),
                dtype: typed.dtype,
                shape: typed.shape,
            });
        }
        Ok(Self {
            model,
            family,
            tensors,
            values: originals.into_iter().collect(),
        })
    }

    /// The tensors, with their names and shapes in Hugging Face's terms.
    pub(super) fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The values of a tensor.
    pub(super) fn values(&self, name: &str) -> Expr {
        let values = self.values.get(name).cloned();
        values.unwrap_or_else(|| Expr::input(name))
    }

    /// A model of which plans can be made, but not a byte be read. Blocks are in it what plain matrices
    /// are, as decoding leaves that open; so are all quantized layers if what they hold is to be `exact`.
    ///
    /// # Errors
    /// `malformed` for two tensors of one name.
    pub(in crate::arch) fn for_plans(&self, exact: bool) -> Result<Model> {
        let is_open = |info: &TensorInfo| {
            let quantized = info.dtype.is_quantized();
            quantized || exact && self.decoded(&self.values(&info.name)).is_some()
        };
        let matrices = self.tensors.iter().filter(|info| info.shape.len() >= 2);
        let matrices = matrices.filter(|info| !is_open(info));
        let types = matrices.map(|info| info.dtype);
        let mut plain = types.filter(|dtype| dtype.is_plain_float());
        let first = plain.next().unwrap_or(DType::F32);
        let blocks = match plain.all(|dtype| dtype == first) {
            true => first,
            false => DType::F32,
        };
        let tensors = self.tensors.iter().map(|info| TensorInfo {
            dtype: match is_open(info) {
                true => blocks,
                false => info.dtype,
            },
            ..info.clone()
        });
        let metadata = self.model.metadata().clone();
        let path = self.model.path();
        Model::new(path, "mlx", tensors.collect(), metadata, Box::new(Unread))
    }

    /// A plan for the model of [`for_plans`](Self::for_plans), as one for the folder's own tensors.
    pub(in crate::arch) fn carry_out(&self, mut plan: Plan) -> Plan {
        for tensor in &mut plan.tensors {
            tensor.source = tensor.source.substitute(&|name| self.values(name));
        }
        plan
    }

    /// [`carry_out`](Self::carry_out), where blocks that are only moved stay blocks, and layers are decoded
    /// only to what GGUF always has in f32.
    ///
    /// # Errors
    /// `unsupported` for blocks that cannot be moved so, and for other decoded layers.
    pub(in crate::arch) fn keep_blocks(&self, plan: Plan) -> Result<Plan> {
        let mut plan = self.carry_out(plan);
        for tensor in &mut plan.tensors {
            let typed = tensor.source.infer(&|name| self.model.tensor(name));
            let typed = typed.map_err(|e| e.in_tensor(&tensor.name))?;
            if typed.dtype.is_quantized() {
                tensor.encoding = Encoding::Block(typed.dtype);
            } else if let Some((layer, encoding)) = self.decoded(&tensor.source)
                && !self.is_always_wide(&tensor.name)
            {
                return Err(Error::unsupported(format!(
                    "is {encoding} with biases that are no multiples of their scales, which no blocks of GGUF hold; leave --exact out to decode it"
                ))
                .in_tensor(layer));
            }
        }
        Ok(plan)
    }

    /// The first quantized layer that an expression reads as numbers, and how it is stored.
    fn decoded(&self, source: &Expr) -> Option<(&'m str, &'m Encoding)> {
        source.inputs().iter().find_map(|name| {
            let index = self.model.index_of(name)?;
            let info = &self.model.tensors()[index];
            let encoding = self.model.encoding(index)?;
            (!info.dtype.is_quantized()).then_some((&info.name[..], encoding))
        })
    }

    /// Whether GGUF has this matrix in f32, whatever the others are.
    fn is_always_wide(&self, name: &str) -> bool {
        let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let parts = name.split('.');
        let parts: Vec<_> = parts
            .map(|part| if number(part) { "{}" } else { part })
            .collect();
        let name = parts.join(".");
        let mut tensors = self
            .family
            .iter()
            .flat_map(|family| family.tensors.iter().copied().flatten());
        tensors.any(|tensor| {
            let stem = name.strip_suffix(".weight");
            tensor.class == TypeClass::Exact && stem == Some(tensor.output)
        })
    }
}

/// Which layers of an MLX folder are to be read as blocks, so that it can be converted: all if their codes
/// and scales are to stay, or else those in mxfp4 of a model type that keeps them so elsewhere.
pub fn as_blocks(folder: &Folder, exact: bool) -> AsBlocks {
    if exact {
        return AsBlocks::Always;
    }
    let class = folder.architecture().ok();
    let family = class.and_then(|class| Family::of(class, families::ALL).ok());
    let mlx = family.and_then(|family| config::model_type(folder, family).ok());
    let mut tensors = mlx
        .into_iter()
        .flat_map(|mlx| mlx.tensors.iter().copied().flatten());
    match tensors.any(|tensor| matches!(tensor.rewrite, Rewrite::MicroscaledWords(_))) {
        true => AsBlocks::Mxfp4,
        false => AsBlocks::Never,
    }
}

/// Stands for tensors that only plans are made of.
#[derive(Debug)]
struct Unread;

impl Reader for Unread {
    fn read_at(&self, _: usize, _: u64, _: &mut [u8]) -> Result<()> {
        Err(Error::misuse("is there to be planned with, not to be read"))
    }

    fn files(&self) -> Vec<&Path> {
        Vec::new()
    }
}
