//! Writing past the caches, for results that no cache would hold until somebody reads them: the memory is
//! not read to be overwritten, and nothing else is driven out.
//!
//! Much slower than plain stores if the memory is in a cache already. Only whole lines of the caches are
//! written so, each at once: what lies beside a line's boundary is put together with its neighbours.

use super::Sixteen;
use super::diverted::{Diverted, Sink};
use bytemuck::{Pod, Zeroable};
use std::cell::Cell;

/// A line of the caches.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(super) [f32; 16]);

/// What is to be written, 16 elements at a time.
pub(crate) struct PastCaches<'a, S: Sixteen> {
    s: S,
    /// What lies before the first whole line, and after the last.
    start: &'a mut [f32],
    end: &'a mut [f32],
    lines: &'a [Cell<Line>],
    progress: Progress<S>,
}

struct Progress<S: Sixteen> {
    /// How many of `lines` have been written, with one more in front if they begin within 16 elements.
    written: Cell<usize>,
    /// The 16 elements before.
    before: Cell<S::F>,
    first: Cell<[f32; 16]>,
}

impl<'a, S: Sixteen> PastCaches<'a, S> {
    /// Everything in `out`, whose length is a multiple of 16.
    #[inline(always)]
    pub(crate) fn over(s: S, out: &'a mut [f32]) -> Self {
        let (start, lines, end) = bytemuck::pod_align_to_mut(out);
        assert!((start.len() + end.len()).is_multiple_of(16));
        Self {
            s,
            start,
            end,
            lines: Cell::from_mut(lines).as_slice_of_cells(),
            progress: Progress {
                written: Cell::new(0),
                before: Cell::new(s.splat(0.0)),
                first: Cell::new([0.0; 16]),
            },
        }
    }

    /// Instructions that store there.
    #[inline(always)]
    pub(crate) fn instructions(&self) -> Diverted<S, Lines<'_, S>> {
        let sink = Lines {
            lines: self.lines,
            early: match self.start.len() {
                0 => 16,
                early => early,
            },
            progress: &self.progress,
        };
        Diverted { s: self.s, sink }
    }

    /// Writes what is left when all has been stored.
    #[inline(always)]
    pub(crate) fn finish(self) {
        let early = self.start.len();
        self.start
            .copy_from_slice(&self.progress.first.get()[..early]);
        if early > 0 {
            let mut last = [0.0; 16];
            self.s.store(self.progress.before.get(), &mut last);
            self.end.copy_from_slice(&last[early..]);
        }
        fence();
    }
}

/// Elements in lines: each takes what the 16 elements before have left, and the first of the next.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a, S: Sixteen> {
    lines: &'a [Cell<Line>],
    /// How many of 16 elements belong to the line before the one that the last of them is in: 1 to 16.
    early: usize,
    progress: &'a Progress<S>,
}

impl<S: Sixteen> Sink<S> for Lines<'_, S> {
    #[inline(always)]
    fn take(self, s: S, a: S::F) {
        let place = self.progress.written.get();
        self.progress.written.set(place + 1);
        let before = self.progress.before.replace(a);
        let place = if self.early < 16 {
            place.wrapping_sub(1)
        } else {
            place
        };
        if let Some(line) = self.lines.get(place) {
            s.store_past_caches(s.straddling(before, a, self.early), line);
        } else if place == usize::MAX {
            let mut first = [0.0; 16];
            s.store(a, &mut first);
            self.progress.first.set(first);
        }
    }
}

/// Makes what was written visible before what comes later.
fn fence() {
    #[cfg(target_arch = "x86_64")]
    super::x86::fence();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, Lanes};

    struct Copy<'a> {
        from: &'a [f32],
        to: &'a mut [f32],
    }

    impl Kernel for Copy<'_> {
        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) {
            let s = lanes.row();
            let past = PastCaches::over(s, self.to);
            for x in self.from.as_chunks().0 {
                past.instructions().store(s.load(x), &mut [0.0; 16]);
            }
            past.finish();
        }
    }

    #[test]
    fn writes_whatever_wherever() {
        let from: Vec<f32> = (0..96).map(|i| i as f32).collect();
        for isa in Isa::ALL.iter().filter(|isa| isa.is_available()) {
            for start in 0..20 {
                for len in [0, 16, 32, 48, 96] {
                    let mut to = vec![-1.0; 128];
                    isa.run(Copy {
                        from: &from[..len],
                        to: &mut to[start..start + len],
                    });
                    assert_eq!(to[start..start + len], from[..len], "{isa} {start} {len}");
                    let around = to[..start].iter().chain(&to[start + len..]);
                    assert!(around.copied().all(|x| x == -1.0), "{isa} {start} {len}");
                }
            }
        }
    }
}
