//! Lanes: the same scalar algorithm on many blocks at once, and the choice of the instruction set.
//!
//! Code that is generic over [`Lanes`] is compiled once for each [`Isa`]; nothing outside this
//! module names an intrinsic, and nothing in here names a format. docs/performance.md tells how
//! to write such code.

mod diverted;
mod double;
mod finite;
mod lanes;
mod narrow;
mod past_caches;
mod portable;
mod sixteen;
mod sixty_four;
mod steps;
mod table_sums;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use diverted::{Diverted, Sink};
pub(crate) use finite::all_finite;
pub(crate) use lanes::{Lanes, MAX_LANES};
pub(crate) use narrow::{Narrow, truncate};
pub(crate) use past_caches::PastCaches;
pub(crate) use portable::Portable;
pub(crate) use sixteen::Sixteen;
pub(crate) use sixty_four::SixtyFour;
pub(crate) use steps::Steps;
pub(crate) use table_sums::TableSums;
pub(crate) use vector::Vector;

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// How encoders compute. All give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// One block at a time: the reference that the others are tested against.
    Scalar,
    /// Several blocks at a time, in code for any CPU.
    Portable,
    /// 256-bit vectors of x86-64, with FMA and F16C.
    Avx2,
    /// 512-bit vectors of x86-64: AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Isa {
    /// All of them, the fastest last.
    pub const ALL: &[Self] = &[Self::Scalar, Self::Portable, Self::Avx2, Self::Avx512];

    /// The name that `QUANTLIB_ISA` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this CPU can run it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar | Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86::Avx512::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The one that is used if none is asked for: what the environment variable `QUANTLIB_ISA`
    /// names, or else the fastest that is available. Decided once for the process.
    ///
    /// # Errors
    /// `misuse` if the variable names none that this CPU can run.
    pub fn preferred() -> Result<Self> {
        static PREFERRED: OnceLock<std::result::Result<Isa, String>> = OnceLock::new();
        let decide = || match std::env::var("QUANTLIB_ISA") {
            Ok(name) if !name.is_empty() => name
                .parse::<Self>()
                .and_then(Self::checked)
                .map_err(|e| e.to_string()),
            _ => Ok(Self::fastest()),
        };
        let preferred = PREFERRED.get_or_init(decide).clone();
        preferred.map_err(|e| Error::misuse(format!("QUANTLIB_ISA: {e}")))
    }

    fn fastest() -> Self {
        let mut available = Self::ALL.iter().filter(|isa| isa.is_available());
        available.next_back().copied().unwrap_or(Self::Scalar)
    }

    /// Itself if it is available.
    ///
    /// # Errors
    /// `unsupported` if not.
    pub(crate) fn checked(self) -> Result<Self> {
        if self.is_available() {
            return Ok(self);
        }
        let available: Vec<_> = Self::ALL.iter().filter(|isa| isa.is_available()).collect();
        Err(Error::unsupported(format!(
            "this CPU cannot run {self}; choose one of {available:?}, or none at all"
        )))
    }

    /// Itself, but AVX2 instead of AVX-512.
    pub(crate) fn narrow(self) -> Self {
        match self {
            Self::Avx512 => Self::Avx2,
            isa => isa,
        }
    }

    /// Runs a kernel with the lanes of this instruction set: portable ones if it has none here.
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        #[cfg(target_arch = "x86_64")]
        {
            if self == Self::Avx512
                && let Some(lanes) = x86::Avx512::detect()
            {
                return lanes.run(kernel);
            }
            if self == Self::Avx2
                && let Some(lanes) = x86::Avx2::detect()
            {
                return lanes.run(kernel);
            }
        }
        kernel.run(Portable);
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|isa| isa.name() == name);
        found.copied().ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|isa| isa.name()).collect();
            Error::misuse(format!(
                "{name:?} is no instruction set; there are {}",
                names.join(", ")
            ))
        })
    }
}

/// Work that is written once for all lanes. `run` must be `#[inline(always)]`.
pub(crate) trait Kernel {
    fn run<L: Lanes>(self, lanes: L);
}
