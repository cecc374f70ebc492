//! Thread pools: one per size, shared by all calls, never rayon's global one.

use crate::error::{Error, ErrorKind, Result};
use rayon::ThreadPool;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

/// The number of threads that "all" means here.
pub fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Turns the caller's wish (0 = all) into a number of threads.
pub fn resolve_threads(wish: usize) -> usize {
    // More threads than this help nobody and cost stacks.
    if wish == 0 {
        available_threads()
    } else {
        wish.min(1024)
    }
}

/// A pool of `threads` threads (not 0), cached per process.
///
/// After a fork the child has no worker threads, so pools are looked up by process id; and because
/// the fork may have happened while another thread held the lock, a lock that is taken is passed by.
pub fn pool(threads: usize) -> Result<Arc<ThreadPool>> {
    type Pools = Mutex<HashMap<(u32, usize), Arc<ThreadPool>>>;
    static POOLS: OnceLock<Pools> = OnceLock::new();
    let build = || {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("quantlib-{i}"))
            .build()
            .map(Arc::new)
            .map_err(|e| {
                Error::new(
                    ErrorKind::Limit,
                    format!("cannot start {threads} threads: {e}"),
                )
            })
    };
    let Ok(mut pools) = POOLS.get_or_init(Pools::default).try_lock() else {
        return build();
    };
    let key = (std::process::id(), threads);
    if let Some(pool) = pools.get(&key) {
        return Ok(Arc::clone(pool));
    }
    let pool = build()?;
    pools.insert(key, Arc::clone(&pool));
    Ok(pool)
}
