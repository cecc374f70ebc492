//! The threads of a job: tiles are handed out in order, and read, made and written in parallel.

use crate::codec::NonFinite;
use crate::error::{Error, ErrorKind, Result};
use crate::io::OutputSet;
use crate::job::Progress;
use crate::job::files::Place;
use crate::job::task::{Buffers, Encoder, Task};
use crate::job::turns::Turns;
use crate::model::ImportanceSource;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often progress is told, and a wish to cancel is looked for, whether or not there is progress.
const TICK: Duration = Duration::from_millis(50);

/// Everything that the threads share, made before they start.
pub(super) struct Work<'w> {
    /// The model that is read, for errors.
    pub(super) input: &'w Path,
    pub(super) tasks: &'w [Task<'w>],
    pub(super) importance: Option<&'w dyn ImportanceSource>,
    pub(super) non_finite: NonFinite,
    /// Where each plane of each task begins.
    pub(super) places: &'w [Vec<Place>],
    /// Bytes of memory that each thread may use.
    pub(super) share: usize,
    pub(super) set: &'w OutputSet,
}

/// How the work stands.
struct State<'w> {
    /// For each task, the number of tiles of it and all before it.
    ends: Vec<usize>,
    next: AtomicUsize,
    turns: Turns,
    /// For each task, its encoder while tiles of it are being made.
    encoders: Vec<Mutex<Lent<'w>>>,
    stop: AtomicBool,
    cancel: Option<&'w AtomicBool>,
    /// The first tile that failed, and why. Tiles before it are still made, so that the same error
    /// is reported whatever the threads' order.
    failed: AtomicUsize,
    error: Mutex<Option<Error>>,
}

/// The encoder of a task. Importance weights take memory, so it is made for the first tile and
/// dropped after the last.
struct Lent<'w> {
    encoder: Option<Arc<Encoder<'w>>>,
    tiles_left: usize,
}

/// A tile was written: its task and its length in bytes.
type Written = (usize, u64);

impl<'w> Work<'w> {
    /// Makes and writes every tile, with `threads` threads of which `encoders` calculate at a time.
    pub(super) fn run(
        &self,
        threads: usize,
        encoders: usize,
        progress: Option<Progress<'_>>,
        cancel: Option<&'w AtomicBool>,
    ) -> Result<()> {
        let state = State::new(self, encoders, cancel);
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            let workers = 0..threads.min(state.tiles()).max(1);
            for i in workers {
                let (state, sender) = (&state, sender.clone());
                thread::Builder::new()
                    .name(format!("quantlib-{i}"))
                    .spawn_scoped(scope, move || self.work(state, &sender))
                    .map_err(|e| {
                        state.stop.store(true, Ordering::Relaxed);
                        let message = format!("cannot start thread {i}: {e}; ask for fewer");
                        Error::new(ErrorKind::Limit, message)
                    })?;
            }
            drop(sender);
            self.watch(&state, &receiver, progress)
        })?;
        let error = state.error.into_inner();
        match error.unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            // Which tensor was in work when the wish came is of no interest.
            Some(error) if error.kind() == ErrorKind::Cancelled => Err(Error::cancelled()),
            Some(error) => Err(error),
        }
    }

    /// One thread: takes the next tile until there are none.
    fn work(&self, state: &State<'w>, sender: &Sender<Written>) {
        let mut buffers = Buffers::default();
        loop {
            let tile = state.next.fetch_add(1, Ordering::Relaxed);
            if tile >= state.tiles() {
                return;
            }
            match self.tile(state, tile, &mut buffers) {
                // The receiver outlives the threads; it has no one to tell only if it panicked.
                Ok(written) => drop(sender.send(written)),
                Err(error) => return state.fail(tile, error),
            }
        }
    }

    fn tile(&self, state: &State<'w>, tile: usize, buffers: &mut Buffers) -> Result<Written> {
        state.proceed(tile)?;
        let index = state.ends.partition_point(|&end| end <= tile);
        let first_tile = index.checked_sub(1).map_or(0, |before| state.ends[before]);
        let task = &self.tasks[index];
        let len = task.tile(self.share);
        let start = (tile - first_tile) * len;
        let range = (start, start.saturating_add(len).min(task.steps()));
        let proceed = || state.proceed(tile);
        let encoder = state.encoder(index, || {
            task.encoder(self.importance, self.non_finite, self.share, &proceed)
        });
        let made = encoder
            .and_then(|encoder| task.make(&encoder, range, buffers, &state.turns, &proceed))
            .map_err(|e| e.in_tensor(task.name()).in_file(self.input))?;
        let mut written = 0;
        for (place, (offset, bytes)) in self.places[index].iter().zip(made) {
            self.set
                .write_at(place.file, place.offset + offset, bytes)?;
            written += bytes.len() as u64;
        }
        state.tile_done(index);
        Ok((index, written))
    }

    /// Tells the progress until all threads have ended.
    fn watch(
        &self,
        state: &State<'_>,
        receiver: &Receiver<Written>,
        mut progress: Option<Progress<'_>>,
    ) -> Result<()> {
        let total = self.tasks.iter().map(Task::bytes_out).sum();
        let (mut done, mut name, mut told) = (0, "", Instant::now());
        let mut tell = |done, name| match &mut progress {
            Some(progress) => progress(done, total, name),
            None => ControlFlow::Continue(()),
        };
        loop {
            match receiver.recv_timeout(TICK) {
                Ok((task, bytes)) => {
                    done += bytes;
                    name = self.tasks[task].name();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if told.elapsed() >= TICK && !state.stop.load(Ordering::Relaxed) {
                told = Instant::now();
                if tell(done, name).is_break() {
                    state.stop.store(true, Ordering::Relaxed);
                }
            }
        }
        let finished = done == total && !state.stop.load(Ordering::Relaxed);
        if state.stop.load(Ordering::Relaxed) || (finished && tell(done, name).is_break()) {
            return Err(Error::cancelled());
        }
        Ok(())
    }
}

impl<'w> State<'w> {
    fn new(work: &Work<'_>, encoders: usize, cancel: Option<&'w AtomicBool>) -> Self {
        let counts = || {
            let tasks = work.tasks.iter();
            tasks.map(|task| task.steps().div_ceil(task.tile(work.share).max(1)))
        };
        let ends = counts().scan(0, |tiles, count| {
            *tiles += count;
            Some(*tiles)
        });
        let lent = counts().map(|tiles_left| {
            Mutex::new(Lent {
                encoder: None,
                tiles_left,
            })
        });
        Self {
            ends: ends.collect(),
            encoders: lent.collect(),
            next: AtomicUsize::new(0),
            turns: Turns::new(encoders),
            stop: AtomicBool::new(false),
            cancel,
            failed: AtomicUsize::new(usize::MAX),
            error: Mutex::new(None),
        }
    }

    fn tiles(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The encoder of a task, made now if this is its first tile.
    fn encoder(
        &self,
        task: usize,
        make: impl FnOnce() -> Result<Encoder<'w>>,
    ) -> Result<Arc<Encoder<'w>>> {
        let mut lent = lock(&self.encoders[task]);
        match &lent.encoder {
            Some(encoder) => Ok(Arc::clone(encoder)),
            None => Ok(Arc::clone(lent.encoder.insert(Arc::new(make()?)))),
        }
    }

    /// Gives the encoder back after a tile.
    fn tile_done(&self, task: usize) {
        let mut lent = lock(&self.encoders[task]);
        lent.tiles_left -= 1;
        if lent.tiles_left == 0 {
            lent.encoder = None;
        }
    }

    /// Whether work on this tile still makes sense; an error that nobody will see if not.
    fn proceed(&self, tile: usize) -> Result<()> {
        let cancelled = self.cancel.is_some_and(|flag| flag.load(Ordering::Relaxed));
        if cancelled
            || self.stop.load(Ordering::Relaxed)
            || self.failed.load(Ordering::Relaxed) < tile
        {
            return Err(Error::cancelled());
        }
        Ok(())
    }

    fn fail(&self, tile: usize, error: Error) {
        let mut first = lock(&self.error);
        if tile < self.failed.fetch_min(tile, Ordering::Relaxed) {
            *first = Some(error);
        }
    }
}

/// What is behind a lock is whole at any time, whoever panicked while holding it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
