//! One of two models that are compared: its tensors, whatever they are made from.

use crate::error::Result;
use crate::job::evaluate::Source;
#[cfg(feature = "hf")]
use crate::model::OutputTensor;
use crate::model::{Expr, Metadata, Model, TensorInfo};
use std::collections::HashMap;

/// Named tensors as expressions over a model, and keys.
pub(super) struct Subject<'m> {
    pub(super) model: &'m Model,
    pub(super) metadata: &'m Metadata,
    tensors: Vec<(TensorInfo, Expr)>,
    by_name: HashMap<String, usize>,
}

impl<'m> Subject<'m> {
    /// The model as it is stored.
    pub(super) fn stored(model: &'m Model) -> Self {
        let tensors = model.tensors().iter();
        let tensors = tensors.map(|info| (info.clone(), Expr::input(&info.name)));
        Self::new(model, model.metadata(), tensors.collect())
    }

    /// The model as a plan would write it, before values are rounded to the plan's types.
    #[cfg(feature = "hf")]
    pub(super) fn planned(
        model: &'m Model,
        metadata: &'m Metadata,
        tensors: &[OutputTensor],
    ) -> Result<Self> {
        let tensors = tensors.iter();
        let tensors = tensors.map(|tensor| Ok((tensor.info()?, tensor.source.clone())));
        Ok(Self::new(model, metadata, tensors.collect::<Result<_>>()?))
    }

    fn new(model: &'m Model, metadata: &'m Metadata, tensors: Vec<(TensorInfo, Expr)>) -> Self {
        let names = tensors.iter().enumerate();
        let by_name = names.map(|(i, (info, _))| (info.name.clone(), i)).collect();
        Self {
            model,
            metadata,
            tensors,
            by_name,
        }
    }

    /// In file order.
    pub(super) fn infos(&self) -> impl Iterator<Item = &TensorInfo> {
        self.tensors.iter().map(|(info, _)| info)
    }

    pub(super) fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&index| &self.tensors[index].0)
    }

    /// The values of a tensor, and how they are stored.
    pub(super) fn source(&self, name: &str) -> Result<Option<Source<'_>>> {
        let Some(&index) = self.by_name.get(name) else {
            return Ok(None);
        };
        let source = Source::new(&self.tensors[index].1, self.model);
        source
            .map(Some)
            .map_err(|e| e.in_tensor(name).in_file(self.model.path()))
    }
}
