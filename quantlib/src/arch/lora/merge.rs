//! Merging: every tensor that an adapter changes is replaced in the plan by what it becomes.

use super::Lora;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::lora::{Adapter, LowRank, Placement};
use crate::model::{Expr, Model, Plan, Product, TensorInfo};
use std::collections::HashMap;

/// Joins a model with the tensors of adapters, which a plan that merges them reads too.
///
/// # Errors
/// Those of [`Adapter::open`].
pub fn attach(model: Model, loras: &[Lora]) -> Result<Model> {
    let mut adapters = loras.iter().enumerate();
    adapters.try_fold(model, |model, (i, lora)| {
        model.attach(&prefix(i), Adapter::open(lora.path())?.into_model())
    })
}

/// What the names of an adapter's tensors begin with in the joined model.
fn prefix(adapter: usize) -> String {
    format!("lora {adapter}: ")
}

/// The plan for the model with the adapters merged: W + scale·(alpha/r)·B·A, summed in f32 and rounded
/// once to the type of W.
pub(in crate::arch) fn merge(mut plan: Plan, base: &Model, loras: &[Lora]) -> Result<Plan> {
    let mut merger = Merger {
        base,
        changes: HashMap::new(),
        notes: Vec::new(),
    };
    for (i, lora) in loras.iter().enumerate() {
        let adapter = Adapter::open(lora.path())?;
        merger
            .add(&adapter, lora.scale(), &prefix(i))
            .map_err(|e| e.in_file(adapter.model().path()))?;
    }
    for tensor in &mut plan.tensors {
        tensor.source = tensor.source.substitute(&|name| merger.value(name));
    }
    plan.notes.extend(merger.notes);
    Ok(plan)
}

struct Merger<'m> {
    base: &'m Model,
    /// What becomes of a tensor of the base model.
    changes: HashMap<&'m str, Change>,
    notes: Vec<String>,
}

struct Change {
    dtype: DType,
    /// The adapter's tensor that takes its place.
    whole: Option<String>,
    products: Vec<Product>,
}

impl<'m> Merger<'m> {
    fn add(&mut self, adapter: &Adapter, scale: f32, prefix: &str) -> Result<()> {
        let config = adapter.config();
        config
            .check_mergeable()
            .map_err(|e| e.in_file(adapter.config_path()))?;
        for (name, tensor) in adapter.wholes() {
            let target = self.find(name, tensor)?;
            if target.shape != tensor.shape {
                return Err(misfit(tensor, &tensor.shape, target));
            }
            let change = self.change(target);
            if change.whole.is_some() || !change.products.is_empty() {
                return Err(Error::misuse(
                    "is replaced as a whole after it was changed; merge the adapters one by one",
                )
                .in_tensor(&tensor.name));
            }
            change.whole = Some(format!("{prefix}{}", tensor.name));
            if scale != 1.0 {
                self.notes.push(format!(
                    "{}: replaced as a whole, whatever the scale",
                    target.name
                ));
            }
        }
        for (module, update) in adapter.updates() {
            check_rank(&update, config.rank_of(module))?;
            let scale = (f64::from(scale) * config.scaling_of(module)) as f32;
            if !scale.is_finite() {
                return Err(Error::misuse(format!(
                    "the factor of '{module}' is too large for f32; give the adapter a smaller scale"
                )));
            }
            let (target, product) =
                self.product(module, &update, config.fan_in_fan_out, prefix, scale)?;
            self.change(target).products.push(product);
        }
        Ok(())
    }

    fn change(&mut self, target: &'m TensorInfo) -> &mut Change {
        self.changes.entry(&target.name).or_insert(Change {
            dtype: target.dtype,
            whole: None,
            products: Vec::new(),
        })
    }

    /// The tensor that an update is for, and what is added to it.
    fn product(
        &self,
        module: &str,
        update: &LowRank<'_>,
        fan_in_fan_out: bool,
        prefix: &str,
        scale: f32,
    ) -> Result<(&'m TensorInfo, Product)> {
        let (outputs, inputs) = (update.b.shape[0], update.a.shape[1]);
        let target = self.find(&format!("{module}.weight"), update.b)?;
        let plain = target.shape == [outputs, inputs];
        let swapped = target.shape == [inputs, outputs];
        let transposed = match update.placement {
            Placement::Embedding => true,
            Placement::Linear if plain && swapped => fan_in_fan_out,
            Placement::Linear => swapped,
        };
        if !(if transposed { swapped } else { plain }) {
            return Err(misfit(update.b, &[outputs, inputs], target));
        }
        let input = |tensor: &TensorInfo| Expr::Input(format!("{prefix}{}", tensor.name));
        let (a, b) = (input(update.a), input(update.b));
        let (left, right) = match transposed {
            false => (b, a),
            true => (transpose(a), transpose(b)),
        };
        Ok((target, Product { left, right, scale }))
    }

    /// The base model's tensor that one of the adapter is for.
    fn find(&self, name: &str, tensor: &TensorInfo) -> Result<&'m TensorInfo> {
        let base = self.base;
        let spelled = spellings(name);
        let found = spelled.iter().find_map(|name| base.tensor(name));
        let target = found.ok_or_else(|| {
            Error::malformed(format!(
                "is for '{name}', which the model in {} has not; is it the adapter's base?",
                base.path().display()
            ))
            .in_tensor(&tensor.name)
        })?;
        match target.dtype.is_plain_float() {
            true => Ok(target),
            false => Err(Error::unsupported(format!(
                "cannot be merged into '{}', which is stored as {}",
                target.name, target.dtype
            ))
            .in_tensor(&tensor.name)),
        }
    }

    /// What a tensor of the base model becomes.
    fn value(&self, name: &str) -> Expr {
        let Some(change) = self.changes.get(name) else {
            return Expr::input(name);
        };
        let of = match &change.whole {
            Some(whole) => Expr::input(whole).cast(change.dtype),
            None => Expr::input(name),
        };
        match change.products.is_empty() {
            true => of,
            false => Expr::AddProducts {
                of: Box::new(of),
                products: change.products.clone(),
            }
            .cast(change.dtype),
        }
    }
}

fn misfit(tensor: &TensorInfo, shape: &[usize], target: &TensorInfo) -> Error {
    Error::malformed(format!(
        "changes {shape:?} elements, but '{}' of the base model has {:?}; is it the adapter's base?",
        target.name, target.shape
    ))
    .in_tensor(&tensor.name)
}

fn check_rank(update: &LowRank<'_>, rank: usize) -> Result<()> {
    match update.a.shape[0] {
        found if found == rank => Ok(()),
        found => Err(Error::malformed(format!(
            "has the rank {found}, but adapter_config.json says {rank}"
        ))
        .in_tensor(&update.a.name)),
    }
}

fn transpose(of: Expr) -> Expr {
    Expr::Transpose {
        of: Box::new(of),
        axes: vec![1, 0],
    }
}

/// The names that a tensor of the loaded model may have in its files: some are saved without the
/// name of the inner model, or with it though the model was loaded bare.
fn spellings(name: &str) -> Vec<String> {
    const INNER: &[&str] = &["model.", "transformer.", "bert.", "roberta."];
    let without = INNER.iter().filter_map(|inner| name.strip_prefix(inner));
    let with = INNER.iter().map(|inner| format!("{inner}{name}"));
    let mut names = vec![name.to_owned()];
    names.extend(without.map(str::to_owned));
    names.extend(with);
    names
}
