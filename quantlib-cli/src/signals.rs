//! Ctrl-C and SIGTERM ask a running job to stop and clean up.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static CANCEL: AtomicBool = AtomicBool::new(false);

/// Takes the signals over, once for the process, and returns the flag that they set.
pub(crate) fn cancel_flag() -> &'static AtomicBool {
    static TAKEN: Once = Once::new();
    TAKEN.call_once(|| {
        // It fails if a program that contains this one handles them already; then it decides.
        drop(ctrlc::set_handler(|| CANCEL.store(true, Ordering::Relaxed)));
    });
    CANCEL.store(false, Ordering::Relaxed);
    &CANCEL
}
