//! Which adapters are merged, and how strongly.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// An adapter to merge: a PEFT folder, and a factor for all that it adds.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    path: PathBuf,
    scale: f32,
}

impl Lora {
    /// The adapter in a folder, with the factor 1.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            scale: 1.0,
        }
    }

    /// The same with another factor.
    ///
    /// # Errors
    /// `misuse` if it is not finite.
    pub fn scaled(self, scale: f32) -> Result<Self> {
        match scale.is_finite() {
            true => Ok(Self { scale, ..self }),
            false => Err(Error::misuse(format!(
                "the scale of an adapter must be finite, not {scale}"
            ))
            .in_file(self.path)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The factor.
    pub fn scale(&self) -> f32 {
        self.scale
    }
}

/// Parses `FOLDER` or `FOLDER:SCALE`; a folder of the whole name is preferred.
///
/// ```
/// let lora: quantlib::arch::Lora = "my-lora:0.5".parse()?;
/// assert_eq!(lora.scale(), 0.5);
/// # Ok::<(), quantlib::Error>(())
/// ```
impl FromStr for Lora {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let whole = || Ok(Self::new(text));
        if Path::new(text).is_dir() {
            return whole();
        }
        let Some((path, scale)) = text.rsplit_once(':') else {
            return whole();
        };
        match scale.parse() {
            Ok(scale) => Self::new(path).scaled(scale),
            Err(_) => whole(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_and_without_a_scale() {
        let parse = |text: &str| text.parse::<Lora>();
        assert_eq!(parse("a/b").unwrap(), Lora::new("a/b"));
        assert_eq!(
            parse("a:-1e-1").unwrap(),
            Lora::new("a").scaled(-0.1).unwrap()
        );
        assert_eq!(parse(r"C:\a").unwrap(), Lora::new(r"C:\a"));
        assert!(parse("a:inf").is_err() && parse("a:nan").is_err());
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("x:2");
        std::fs::create_dir(&odd).unwrap();
        assert_eq!(parse(odd.to_str().unwrap()).unwrap(), Lora::new(odd));
    }
}
