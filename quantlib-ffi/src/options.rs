//! Options of the calls, in one struct that can grow.

use crate::memory::text;
use crate::settings::Settings;
use crate::status::misuse;
use quantlib::{CodecOptions, Error, NonFinite};
use std::ffi::{c_char, c_int, c_void};

/// Told how far a job is; a nonzero return value cancels it. `user` is `ql_options.user`. The call
/// may come from another thread than the one that started the job, but never from two at a time.
pub type ql_progress =
    Option<unsafe extern "C" fn(user: *mut c_void, done: u64, total: u64) -> c_int>;

/// Options; all-zero means defaults, and so does a null pointer to them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ql_options {
    /// `sizeof(ql_options)`, or 0 for the first version of this struct.
    pub struct_size: usize,
    /// Number of threads; 0 means all.
    pub threads: u32,
    /// NaN and infinite elements: 0 refuses them, 1 encodes them as zeros.
    pub non_finite: u32,
    /// Most memory that a job's buffers may take, in bytes; 0 means 128 MiB.
    pub memory_limit: u64,
    /// Called while a job runs; may be null.
    pub progress: ql_progress,
    /// Passed to `progress`.
    pub user: *mut c_void,
    /// One type for every tensor that is quantized at all, if not 0; of ONNX models no product keeps more
    /// bits because it is sensitive.
    pub pure: u8,
    /// Quantize tensors that are quantized already, if not 0.
    pub allow_requantize: u8,
    /// Must be 0.
    pub reserved: [u8; 6],
    /// For `ql_quantize_model`: the path of an importance matrix (UTF-8), a GGUF or .dat file; may be
    /// null. Like the strings of that call, it is not kept.
    pub imatrix: *const c_char,
    /// For `ql_quantize_model` and `ql_convert_model`: lines of what else the command's options say, each
    /// `name=value` or `name`, such as "group-size=32\nlayer-type=lm_head=mlx-8bit" (UTF-8); may be null.
    /// MLX folders know `group-size`, `layer-type`, `as-is`, `exact` and `force`; ONNX models `block-size`,
    /// `symmetric`, `layout`, `accuracy-level`, `exclude`, `exclude-op`, `ops`, `node`, `per-tensor`,
    /// `reduce-range`, `keep-io`, `format`, `calibration` (a file of ranges) and `external-data`;
    /// `ql_convert_model` also `to` (`gguf`, `mlx` or `hf`). Not kept either.
    pub settings: *const c_char,
}

/// The size of the first version.
const FIRST: usize = std::mem::offset_of!(ql_options, settings);

impl ql_options {
    const DEFAULT: Self = Self {
        struct_size: 0,
        threads: 0,
        non_finite: 0,
        memory_limit: 0,
        progress: None,
        user: std::ptr::null_mut(),
        pure: 0,
        allow_requantize: 0,
        reserved: [0; 6],
        imatrix: std::ptr::null(),
        settings: std::ptr::null(),
    };

    /// Copies the caller's options, or takes the defaults for a null pointer.
    ///
    /// # Safety
    /// `options` is null or points to a `ql_options` that is valid for reads.
    pub(crate) unsafe fn read(options: *const ql_options) -> Result<Self, Error> {
        if options.is_null() {
            return Ok(Self::DEFAULT);
        }
        // SAFETY: not null, so valid for reads by the caller's promise. Only the first field is read
        // before its claim about the others is checked.
        let size = unsafe { (*options).struct_size };
        if size != 0 && size < FIRST {
            return Err(misuse(
                "ql_options.struct_size is smaller than the first version's size",
            ));
        }
        let known = match size {
            0 => FIRST,
            size => size.min(size_of::<Self>()),
        };
        let mut copy = Self::DEFAULT;
        // SAFETY: as above, and the struct is at least as long as the first version, or as it says; any
        // bytes of a field that is not wholly there are replaced below.
        unsafe {
            let (from, to) = (options.cast::<u8>(), (&raw mut copy).cast::<u8>());
            to.copy_from_nonoverlapping(from, known);
        }
        if known < size_of::<Self>() {
            copy.settings = std::ptr::null();
        }
        let options = copy;
        if options.reserved != [0; 6] {
            return Err(misuse(
                "ql_options.reserved is not 0; initialize the struct with {0}",
            ));
        }
        Ok(options)
    }

    /// The lines of text.
    ///
    /// # Safety
    /// `settings` is null or a NUL-terminated string that outlives the result.
    pub(crate) unsafe fn settings<'a>(&self) -> Result<Settings<'a>, Error> {
        if self.settings.is_null() {
            return Ok(Settings::default());
        }
        // SAFETY: not null, so NUL-terminated by the caller's promise.
        let text = unsafe { text(self.settings, "ql_options.settings") }?;
        Ok(Settings::new(text))
    }

    pub(crate) fn non_finite(&self) -> Result<NonFinite, Error> {
        match self.non_finite {
            0 => Ok(NonFinite::Refuse),
            1 => Ok(NonFinite::Zero),
            _ => Err(misuse("ql_options.non_finite is neither 0 nor 1")),
        }
    }

    pub(crate) fn codec(&self) -> Result<CodecOptions, Error> {
        let mut options = CodecOptions::default();
        options.threads = self.threads as usize;
        options.non_finite = self.non_finite()?;
        Ok(options)
    }
}
