//! How a layer is quantized, as config.json says it.

use crate::affine::AffineSpec;
use crate::dtype::DType;
use crate::error::{Error, Result};
use serde_json::{Map, Value, json};

/// What the codes of a layer mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Integers, with a scale and a bias for each group.
    #[default]
    Affine,
    /// The 4-bit floats of OCP's microscaling format.
    Mxfp4,
    /// 4-bit floats with scales in 8-bit floats.
    Nvfp4,
    /// The 8-bit floats of OCP's microscaling format.
    Mxfp8,
}

const MODES: [(&str, Mode); 4] = [
    ("affine", Mode::Affine),
    ("mxfp4", Mode::Mxfp4),
    ("nvfp4", Mode::Nvfp4),
    ("mxfp8", Mode::Mxfp8),
];

impl Mode {
    /// The name in config.json: `"affine"`.
    pub fn name(self) -> &'static str {
        let named = MODES.iter().find(|(_, mode)| *mode == self);
        named.map_or("", |(name, _)| name)
    }

    fn of(name: &str) -> Option<Self> {
        let found = MODES.iter().find(|(known, _)| *known == name);
        found.map(|(_, mode)| *mode)
    }
}

/// How one layer is quantized.
///
/// ```
/// use quantlib::DType;
/// use quantlib::format::mlx::{LayerQuantization, Mode};
/// let layer = LayerQuantization::new(Mode::Affine);
/// assert_eq!((layer.bits, layer.group_size), (4, 64));
/// assert_eq!(layer.spec(DType::BF16)?.scale, DType::BF16);
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayerQuantization {
    /// What the codes mean.
    pub mode: Mode,
    /// Bits of a code: 2 to 6 or 8 for affine ones, what the mode says for others.
    pub bits: u8,
    /// Columns that share a scale: 32, 64 or 128 for affine codes, what the mode says for others.
    pub group_size: usize,
}

impl LayerQuantization {
    /// mlx_lm's defaults for a mode.
    pub fn new(mode: Mode) -> Self {
        let (bits, group_size) = match mode {
            Mode::Affine => (4, 64),
            Mode::Mxfp4 => (4, 32),
            Mode::Nvfp4 => (4, 16),
            Mode::Mxfp8 => (8, 32),
        };
        Self {
            mode,
            bits,
            group_size,
        }
    }

    /// Affine codes of so many bits in groups of 64.
    pub fn affine(bits: u8) -> Self {
        Self {
            bits,
            ..Self::new(Mode::Affine)
        }
    }

    /// Refuses what MLX has no kernels for.
    ///
    /// # Errors
    /// `misuse` for other bits or groups than those of the mode.
    pub fn check(&self) -> Result<()> {
        let Self {
            mode,
            bits,
            group_size,
        } = *self;
        let known = match mode {
            Mode::Affine => matches!(bits, 2..=6 | 8) && matches!(group_size, 32 | 64 | 128),
            _ => *self == Self::new(mode),
        };
        if known {
            return Ok(());
        }
        let own = Self::new(mode);
        let has = match mode {
            Mode::Affine => "2 to 6 or 8 bits in groups of 32, 64 or 128".to_owned(),
            _ => format!("{} bits in groups of {}", own.bits, own.group_size),
        };
        Err(Error::misuse(format!(
            "{bits} bits in groups of {group_size} were asked for; MLX's mode {} has {has}",
            mode.name()
        )))
    }

    /// How the planes of a layer whose weights are of type `dtype` are encoded.
    ///
    /// # Errors
    /// Those of [`check`](Self::check).
    pub fn spec(&self, dtype: DType) -> Result<AffineSpec> {
        self.check()?;
        match self.mode {
            Mode::Affine => Ok(AffineSpec::mlx(self.bits, self.group_size, dtype)),
            mode => AffineSpec::mlx_float(mode.name()),
        }
    }

    /// Whether rows of this length are whole groups.
    pub fn fits(&self, cols: usize) -> bool {
        self.group_size > 0 && cols > 0 && cols.is_multiple_of(self.group_size)
    }

    /// The entry in config.json.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut entry = Map::new();
        entry.insert("group_size".to_owned(), json!(self.group_size));
        entry.insert("bits".to_owned(), json!(self.bits));
        entry.insert("mode".to_owned(), json!(self.mode.name()));
        entry
    }

    /// Reads an entry of config.json; without a mode it is affine.
    ///
    /// # Errors
    /// `malformed` if it is no such entry, `unsupported` for modes, bits and groups that MLX lacks.
    pub fn from_json(entry: &Value) -> Result<Self> {
        let number = |name: &str| {
            let value = entry.get(name).and_then(Value::as_u64);
            value.ok_or_else(|| {
                Error::malformed(format!("must be an object with an integer \"{name}\""))
            })
        };
        let mode = match entry.get("mode") {
            None | Some(Value::Null) => Mode::Affine,
            Some(name) => name.as_str().and_then(Mode::of).ok_or_else(|| {
                Error::unsupported(format!(
                    "the mode {name} is none of affine, mxfp4, nvfp4 and mxfp8"
                ))
            })?,
        };
        let layer = Self {
            mode,
            bits: number("bits")?.try_into().unwrap_or(u8::MAX),
            group_size: number("group_size")?.try_into().unwrap_or(usize::MAX),
        };
        match layer.check() {
            Ok(()) => Ok(layer),
            Err(e) => Err(Error::unsupported(e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn entries_come_back() {
        for (_, mode) in MODES {
            let layer = LayerQuantization::new(mode);
            let entry = Value::Object(layer.to_json());
            assert_eq!(LayerQuantization::from_json(&entry).unwrap(), layer);
        }
        let tacit = json!({"group_size": 64, "bits": 8});
        let layer = LayerQuantization::from_json(&tacit).unwrap();
        assert_eq!(layer, LayerQuantization::affine(8));
    }

    #[test]
    fn other_entries_are_refused() {
        for (entry, kind) in [
            (json!(true), ErrorKind::Malformed),
            (json!({"bits": 4}), ErrorKind::Malformed),
            (json!({"bits": "4", "group_size": 64}), ErrorKind::Malformed),
            (json!({"bits": 4, "group_size": 48}), ErrorKind::Unsupported),
            (
                json!({"bits": 260, "group_size": 64}),
                ErrorKind::Unsupported,
            ),
            (
                json!({"bits": 4, "group_size": 64, "mode": "mxfp4"}),
                ErrorKind::Unsupported,
            ),
            (
                json!({"bits": 4, "group_size": 64, "mode": 7}),
                ErrorKind::Unsupported,
            ),
        ] {
            let error = LayerQuantization::from_json(&entry).unwrap_err();
            assert_eq!(error.kind(), kind, "{entry}: {error}");
        }
    }
}
