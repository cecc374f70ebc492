//! What a model's job may be told besides the numbers of `ql_options`: lines of text.

use crate::status::misuse;
use quantlib::Error;
use quantlib::arch::{ConvertOptions, OutType};
use quantlib::calibrate::Calibration;
use quantlib::job::HfConversion;
use quantlib::recipe::mlx::{MlxQuantization, MlxRecipe};
use quantlib::recipe::onnx::{OnnxQuantization, OnnxRecipe};
use std::str::FromStr;

/// Lines `name=value` or `name`, named as the command's long options, in their order.
#[derive(Debug, Default)]
pub(crate) struct Settings<'a>(Vec<(&'a str, Option<&'a str>)>);

/// One line.
struct Setting<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

impl<'a> Settings<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let pairs = lines.map(|line| match line.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
            None => (line, None),
        });
        Self(pairs.collect())
    }

    /// Takes the last line of this name out, so that others may read the rest.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a str> {
        let at = self.0.iter().rposition(|(other, _)| *other == name)?;
        self.0.remove(at).1
    }

    /// Fails if anything is left that nobody knows.
    pub(crate) fn none(self, what: &str) -> Result<(), Error> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(unknown(name, what)),
        }
    }

    fn each(self, mut known: impl FnMut(Setting<'a>) -> Result<bool, Error>) -> Result<(), Error> {
        for (name, value) in self.0 {
            if !known(Setting { name, value })? {
                return Err(unknown(name, "this kind of output"));
            }
        }
        Ok(())
    }

    /// How to make an MLX folder.
    pub(crate) fn mlx(self, recipe: MlxRecipe) -> Result<MlxQuantization, Error> {
        let mut wish = MlxQuantization::new(recipe);
        self.each(|setting| {
            match setting.name {
                "group-size" => wish.group_size = Some(setting.parse()?),
                "layer-type" => wish.layers.push(setting.parse()?),
                "as-is" => wish.as_is = setting.flag()?,
                "exact" => wish.exact = setting.flag()?,
                "force" => wish.force = setting.flag()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(wish)
    }

    /// How to convert to a GGUF file.
    pub(crate) fn gguf(self, outtype: OutType) -> Result<ConvertOptions, Error> {
        let mut wish = ConvertOptions::default();
        wish.outtype = outtype;
        self.each(|setting| {
            match setting.name {
                "exact" => wish.exact = setting.flag()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(wish)
    }

    /// How to make a Hugging Face folder.
    pub(crate) fn hf(self, outtype: OutType) -> Result<HfConversion, Error> {
        let mut wish = HfConversion::default();
        wish.dtype = outtype.plain()?;
        self.each(|setting| {
            match setting.name {
                "exact" => wish.exact = setting.flag()?,
                "force" => wish.force = setting.flag()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(wish)
    }

    /// How to quantize an ONNX model.
    pub(crate) fn onnx(self, recipe: OnnxRecipe) -> Result<OnnxQuantization, Error> {
        let mut wish = OnnxQuantization::new(recipe);
        self.each(|setting| {
            match setting.name {
                "block-size" => wish.block_size = setting.parse()?,
                "symmetric" => wish.symmetric = setting.flag()?,
                "layout" => wish.layout = setting.parse()?,
                "accuracy-level" => wish.accuracy_level = Some(setting.parse()?),
                "exclude" => wish.exclude.push(setting.parse()?),
                "exclude-op" => wish.exclude_operators.push(setting.parse()?),
                "ops" => {
                    let names = setting.need()?.split(',').map(str::trim);
                    wish.operators.extend(names.map(str::to_owned));
                }
                "node" => wish.overrides.push(setting.parse()?),
                "per-tensor" => wish.per_tensor = setting.flag()?,
                "reduce-range" => wish.reduce_range = setting.flag()?,
                "keep-io" => wish.keep_io = setting.flag()?,
                "format" => wish.format = setting.parse()?,
                "calibration" => wish.calibration = Some(Calibration::open(setting.need()?)?),
                "external-data" => wish.save.external_data = setting.parse()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(wish)
    }
}

impl Setting<'_> {
    fn need(&self) -> Result<&str, Error> {
        let missing = || {
            misuse(&format!(
                "ql_options.settings: '{}' needs a value",
                self.name
            ))
        };
        self.value
            .filter(|value| !value.is_empty())
            .ok_or_else(missing)
    }

    fn parse<T: FromStr>(&self) -> Result<T, Error>
    where
        T::Err: std::fmt::Display,
    {
        let value = self.need()?;
        let wrong = |e| misuse(&format!("ql_options.settings: {}={value}: {e}", self.name));
        value.parse().map_err(wrong)
    }

    /// True without a value.
    fn flag(&self) -> Result<bool, Error> {
        match self.value {
            None | Some("1" | "true") => Ok(true),
            Some("0" | "false") => Ok(false),
            Some(value) => Err(misuse(&format!(
                "ql_options.settings: {}={value}; say 1 or 0, or the name alone",
                self.name
            ))),
        }
    }
}

fn unknown(name: &str, what: &str) -> Error {
    misuse(&format!(
        "ql_options.settings: '{name}' is no setting for {what}"
    ))
}
