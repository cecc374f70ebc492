//! Ranges of activations: what goes through a model while samples run, observed tensor by tensor.
//!
//! A [`Runner`] runs the model and hands over the tensors that are asked for; a [`Calibrator`] keeps an
//! [`Observer`] for each, whose memory does not grow with the samples; a [`Method`] makes ranges of what
//! was observed, and a [`Calibration`] keeps them, as JSON if need be.

mod calibration;
mod calibrator;
mod encodings;
mod method;
mod observer;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
#[cfg(feature = "onnxruntime")]
mod samples;
mod spread;

pub use calibration::{Calibration, TensorRange};
pub use calibrator::{Calibrator, Runner};
pub use encodings::{Encodings, EncodingsVersion, Grid};
pub use method::{Levels, Method, Range};
pub use observer::{Ignored, Observer};
#[cfg(feature = "onnxruntime")]
pub use onnxruntime::OnnxRuntime;
#[cfg(feature = "onnxruntime")]
pub use samples::{Array, Samples};
pub use spread::{Bucket, Spread};
