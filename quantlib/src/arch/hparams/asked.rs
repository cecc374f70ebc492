//! What architectures' descriptions ask of hyper-parameters.

use super::{Hparams, missing, uint};
use crate::arch::family::{Adjust, Demand, Given};
use crate::error::{Error, Result};
use serde_json::{Value, json};

impl Hparams {
    /// Checks what a description takes for granted.
    pub(in crate::arch) fn meet(&self, demands: &[Demand]) -> Result<()> {
        demands.iter().try_for_each(|demand| match *demand {
            Demand::Present(name) => match self.find(&[name]) {
                Some(_) => Ok(()),
                None => Err(missing(&[name])),
            },
            Demand::Positive(name) => match self.need_uint(&[name])? {
                0 => Err(Error::unsupported("must not be zero").in_key(name)),
                _ => Ok(()),
            },
            Demand::Is(name, given) => {
                let value = self.values.get(name).ok_or_else(|| missing(&[name]))?;
                match given.is(value) {
                    true => Ok(()),
                    false => Err(Error::unsupported(format!(
                        "is {value}, and the architecture is only known with {}",
                        given.json()
                    ))
                    .in_key(name)),
                }
            }
            Demand::Without(name) => match self.is_true(name) {
                false => Ok(()),
                true => {
                    Err(Error::unsupported("makes a model that is not known here").in_key(name))
                }
            },
        })
    }

    /// Whether a hyper-parameter is there and true in Python's sense.
    pub(in crate::arch) fn is_true(&self, name: &str) -> bool {
        match self.values.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Object(map)) => !map.is_empty(),
        }
    }

    /// Changes what counts otherwise than config.json has it. `unigram` tells whether the
    /// vocabulary is XLM-RoBERTa's.
    pub(in crate::arch) fn adjust(&mut self, adjust: &[Adjust], unigram: bool) -> Result<()> {
        for change in adjust {
            match change {
                Adjust::PositionsAfterPadding => self.drop_padding_positions()?,
                Adjust::PositionsAfterPaddingOfUnigram if unigram => {
                    self.drop_padding_positions()?;
                }
                Adjust::PositionsAfterPaddingOfUnigram => {}
                Adjust::NomicPositions => self.correct_nomic_positions()?,
            }
        }
        Ok(())
    }

    /// The number of positions up to that of padding, where padding has an id.
    pub(in crate::arch) fn padding_positions(&self) -> Result<Option<u32>> {
        let Some((name, id)) = self.find(&["pad_token_id"]) else {
            return Ok(None);
        };
        let after = id.as_i64().and_then(|id| id.checked_add(1));
        let after = after.and_then(|after| u32::try_from(after).ok());
        after
            .map(Some)
            .ok_or_else(|| Error::malformed(format!("{id} is no token id")).in_key(name))
    }

    fn drop_padding_positions(&mut self) -> Result<()> {
        const NAME: &str = "max_position_embeddings";
        let (Some(after), Some(positions)) = (self.padding_positions()?, self.uint(&[NAME])?)
        else {
            return Ok(());
        };
        let left = positions.checked_sub(after).ok_or_else(|| {
            Error::malformed(format!("has no position after that of padding, {after}")).in_key(NAME)
        })?;
        self.values.insert(NAME.to_owned(), json!(left));
        Ok(())
    }

    fn correct_nomic_positions(&mut self) -> Result<()> {
        const NAME: &str = "n_positions";
        let trained = match self.values.get("max_trained_positions") {
            None => 2048,
            Some(trained) => uint(trained).map_err(|e| e.in_key("max_trained_positions"))?,
        };
        let corrected = match (self.need_uint(&[NAME])?, trained) {
            (8192, 2048) => 2048,
            (2048, 2048) => 512,
            (claimed, _) => {
                return Err(Error::unsupported(format!(
                    "{claimed} positions of which {trained} are trained are not known of these models"
                ))
                .in_key(NAME));
            }
        };
        self.values.insert(NAME.to_owned(), json!(corrected));
        Ok(())
    }

    /// The labels of a classifier's classes in order, unless they are the two that transformers
    /// makes up.
    pub(in crate::arch) fn labels(&self) -> Result<Option<Vec<&str>>> {
        let Some((_, Value::Object(labels))) = self.find(&["id2label"]) else {
            return Ok(None);
        };
        let entries = labels.iter().map(|(id, label)| {
            let number: i64 = id.parse().ok()?;
            Some((number, id.as_str(), label.as_str()?))
        });
        let mut entries = entries.collect::<Option<Vec<_>>>().ok_or_else(|| {
            Error::malformed("must have a text for every number from 0 on").in_key("id2label")
        })?;
        match self.completed {
            true => entries.sort_unstable(),
            // As they are, the numbers are texts.
            false => entries.sort_unstable_by_key(|(_, id, _)| *id),
        }
        let made_up = entries.len() == 2 && matches!(entries[0], (0, _, "LABEL_0"));
        let labels = entries.into_iter().map(|(.., label)| label);
        Ok((!made_up).then(|| labels.collect()))
    }
}

impl Given {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Number(number) => value.as_f64() == Some(number),
            _ => *value == self.json(),
        }
    }

    fn json(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Flag(flag) => json!(flag),
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
        }
    }
}
