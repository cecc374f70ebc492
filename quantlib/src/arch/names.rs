//! Names of source tensors, as the descriptions have them.

use super::family::{Family, Spare, Spelling, Tensor};
use super::fp8::Fp8;
use super::hparams::Hparams;
use super::modalities;
use super::params::BLOCKS;
use super::stacks::{Place, first_number, split_suffix};
use crate::error::{Error, Result};
use std::collections::HashMap;

/// Ends of names that no conversion keeps.
const SKIPPED_ENDS: &[&str] = &[
    ".attention.masked_bias",
    ".attention.bias",
    ".rotary_emb.inv_freq",
];

/// The names of a family's tensors, for one model.
pub(super) struct Names<'m> {
    family: &'m Family,
    /// What the class's tensor names lack in front.
    prefix: &'static str,
    /// Whether the classes of a classifier have labels of their own.
    labelled: bool,
    by_name: HashMap<&'static str, Vec<&'static Tensor>>,
    blocks: u32,
    hparams: &'m Hparams,
}

impl<'m> Names<'m> {
    pub(super) fn new(family: &'m Family, class: &str, hparams: &'m Hparams) -> Result<Self> {
        let bare = family.bare.iter().find(|(bare, _)| *bare == class);
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for tensor in family.tensors.iter().copied().flatten() {
            by_name.entry(tensor.hf).or_default().push(tensor);
        }
        Ok(Self {
            family,
            prefix: bare.map_or("", |(_, prefix)| prefix),
            labelled: hparams.labels()?.is_some(),
            by_name,
            blocks: hparams.need_uint(BLOCKS)?,
            hparams,
        })
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The descriptions of what a source tensor becomes.
    pub(super) fn described(&self, place: &Place) -> &[&'static Tensor] {
        let tensors = self.by_name.get(place.hf.as_str());
        tensors.map_or(&[], Vec::as_slice)
    }

    /// Whether a tensor is left out.
    pub(super) fn skips(&self, name: &str, respelled: &str, fp8: Option<Fp8>) -> bool {
        let mut ends = SKIPPED_ENDS.iter().chain(self.family.skip_ends);
        let mut starts = self.family.skip.iter();
        let mut spare = self.family.spare.iter();
        modalities::is_other(name)
            || ends.any(|end| name.ends_with(end))
            || fp8.is_some_and(|fp8| fp8.skips(name))
            || starts.any(|start| respelled.starts_with(start))
            || spare.any(|spare| self.spares(*spare, respelled))
    }

    fn spares(&self, spare: Spare, name: &str) -> bool {
        match spare {
            Spare::TiedHead => {
                name == "lm_head.weight" && self.hparams.is_true("tie_word_embeddings")
            }
            Spare::BlocksBehind => first_number(name).is_some_and(|block| block >= self.blocks),
        }
    }

    /// A source name in the spelling of the description.
    pub(super) fn respell(&self, name: &str) -> String {
        self.respelled(name, |_| true)
    }

    /// The same without the model's ends: as Hugging Face has it, but for what is in front.
    pub(super) fn respell_start(&self, name: &str) -> String {
        self.respelled(name, |spelling| !matches!(spelling, Spelling::Suffix(..)))
    }

    fn respelled(&self, name: &str, wanted: impl Fn(&Spelling) -> bool) -> String {
        let mut name = name.to_owned();
        for spelling in self.family.spellings.iter().filter(|s| wanted(s)) {
            let respelled = match spelling {
                Spelling::Part(part) => Some(name.replace(part, "")),
                Spelling::Prefix(start) => name.strip_prefix(start).map(str::to_owned),
                Spelling::Suffix(old, new) => {
                    name.strip_suffix(old).map(|stem| format!("{stem}{new}"))
                }
                Spelling::Labelled(stem, new) => match split_suffix(&name) {
                    Some((start, suffix)) if self.labelled && start == *stem => {
                        Some(format!("{new}{suffix}"))
                    }
                    _ => None,
                },
            };
            name = respelled.unwrap_or(name);
        }
        format!("{}{name}", self.prefix)
    }

    /// Where the descriptions have a tensor.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        let known = |place: &Place| self.by_name.contains_key(place.hf.as_str());
        let mut places = (0..=2).filter_map(|numbers| Place::new(name, numbers));
        let place = places.find(known)?;
        place
            .block
            .is_none_or(|block| block < self.blocks)
            .then_some(place)
    }

    /// [`place`](Self::place) of a tensor that must have one.
    ///
    /// # Errors
    /// `unsupported` if it has none.
    pub(super) fn need_place(&self, name: &str) -> Result<Place> {
        self.place(name).ok_or_else(|| {
            Error::unsupported(format!(
                "has no place in the architecture '{}' with {} blocks",
                self.family.classes[0], self.blocks
            ))
        })
    }
}
