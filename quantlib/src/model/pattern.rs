//! Patterns of tensor names.

use crate::error::{Error, Result};
use regress::Regex;
use std::str::FromStr;

/// An ECMAScript regular expression that is searched for anywhere in a name.
///
/// ```
/// use quantlib::model::NamePattern;
/// let pattern: NamePattern = r"blk\.\d+\.ffn_(up|down)".parse()?;
/// assert!(pattern.is_in("blk.11.ffn_up.weight") && !pattern.is_in("blk.11.attn_q.weight"));
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NamePattern(Regex);

impl NamePattern {
    /// Whether the pattern is found in `name`, in this case.
    pub fn is_in(&self, name: &str) -> bool {
        self.0.find(name).is_some()
    }
}

impl FromStr for NamePattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            |what: &str| Error::misuse(format!("'{text}' is no tensor name pattern: {what}"));
        // C++ knows these from POSIX; here they would mean something else without a word.
        if ["[:", "[.", "[="].iter().any(|part| text.contains(part)) {
            return Err(wrong(
                "named classes such as [[:digit:]] are not supported; write [0-9]",
            ));
        }
        let regex = Regex::new(text).map_err(|e| wrong(&e.to_string()))?;
        Ok(Self(regex))
    }
}
