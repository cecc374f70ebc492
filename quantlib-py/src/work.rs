//! Long calls: the interpreter is released, Ctrl-C and Python callbacks are served meanwhile.

use crate::errors::to_python;
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often Ctrl-C is looked for.
const POLL: Duration = Duration::from_millis(50);

/// What work on another thread needs of the calling one.
pub(crate) struct Monitor<E> {
    /// Set when the work should stop.
    pub(crate) cancel: Arc<AtomicBool>,
    /// Events for the calling thread; nobody minds if it has stopped listening.
    pub(crate) events: Sender<E>,
}

/// Does `work` on another thread with the interpreter released. The calling thread looks for Ctrl-C
/// and hands events to `listen`. If either raises, the work is cancelled, its end is awaited, and
/// what was raised is raised.
pub(crate) fn run<T, E, W, L>(py: Python<'_>, work: W, mut listen: L) -> PyResult<T>
where
    T: Send,
    E: Send,
    W: FnOnce(Monitor<E>) -> quantlib::Result<T> + Send,
    L: FnMut(Python<'_>, E) -> PyResult<()> + Send,
{
    let cancel = Arc::new(AtomicBool::new(false));
    let (events, inbox) = channel();
    let monitor = Monitor {
        cancel: Arc::clone(&cancel),
        events,
    };
    py.detach(move || {
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| work(monitor));
            let served = serve(&inbox, &mut listen);
            if served.is_err() {
                cancel.store(true, Ordering::Relaxed);
            }
            let result = worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            served?;
            result.map_err(to_python)
        })
    })
}

/// Serves until the worker drops its end of the channel.
fn serve<E>(
    inbox: &Receiver<E>,
    listen: &mut impl FnMut(Python<'_>, E) -> PyResult<()>,
) -> PyResult<()> {
    loop {
        match inbox.recv_timeout(POLL) {
            Ok(event) => Python::attach(|py| {
                listen(py, event)?;
                py.check_signals()
            })?,
            Err(RecvTimeoutError::Timeout) => Python::attach(|py| py.check_signals())?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// [`run`] for work without events; small work is done right here, on the calling thread.
pub(crate) fn run_silently<T: Send>(
    py: Python<'_>,
    small: bool,
    work: impl FnOnce(Option<Arc<AtomicBool>>) -> quantlib::Result<T> + Send,
) -> PyResult<T> {
    if small {
        return py.detach(|| work(None)).map_err(to_python);
    }
    run(
        py,
        |monitor: Monitor<()>| work(Some(Arc::clone(&monitor.cancel))),
        |_, ()| Ok(()),
    )
}

/// An error if the work should stop.
pub(crate) fn check(cancel: Option<&Arc<AtomicBool>>) -> quantlib::Result<()> {
    match cancel {
        Some(flag) if flag.load(Ordering::Relaxed) => Err(quantlib::Error::new(
            quantlib::ErrorKind::Cancelled,
            "stopped before the end",
        )),
        _ => Ok(()),
    }
}

/// The number of threads that the caller wants; 0 means all.
pub(crate) fn threads(wish: Option<i64>) -> PyResult<usize> {
    usize::try_from(wish.unwrap_or(0)).map_err(|_| {
        crate::errors::misuse(format!(
            "threads is {}; pass a positive number, or None for all processors",
            wish.unwrap_or(0)
        ))
    })
}
