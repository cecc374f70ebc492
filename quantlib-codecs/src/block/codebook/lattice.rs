//! Finds the vectors of a codebook that are near a vector of levels.

/// A codebook's vectors of `DIM` levels below `LEVELS`, with an index of what is where.
///
/// The index knows every vector of levels: either it is in the codebook, or it has neighbours
/// there, from which the searches choose by their own measure.
pub(in crate::block) struct Lattice<const DIM: usize, const LEVELS: usize> {
    points: &'static [[u8; DIM]],
    /// By the vector's number: its digits in base `LEVELS` are the levels, the first one lowest.
    index: Vec<Entry>,
    /// The lists of neighbours, one after the other.
    neighbours: Vec<u16>,
}

#[derive(Clone, Copy)]
enum Entry {
    /// The vector is in the codebook, with this code.
    Point(u16),
    /// It is not; its neighbours are in this range.
    Near { start: u32, end: u32 },
}

/// A vector of the codebook that was found for some levels.
#[derive(Clone, Copy, Default)]
pub(in crate::block) struct Found {
    pub(in crate::block) code: u16,
    /// Whether it has just these levels.
    pub(in crate::block) exact: bool,
}

impl<const DIM: usize, const LEVELS: usize> Lattice<DIM, LEVELS> {
    /// Indexes a codebook. Neighbours of a vector are those at the `shells` smallest distances that
    /// occur, nearer ones first, in the order of the codes at the same distance.
    pub(in crate::block) fn new(points: &'static [[u8; DIM]], shells: usize) -> Self {
        let mut index = Vec::with_capacity(LEVELS.pow(DIM as u32));
        let mut neighbours = Vec::new();
        let mut codes = (0..).zip(points).peekable();
        for number in 0..index.capacity() {
            let levels = Self::levels(number);
            // Points are sorted by their number.
            if let Some((code, _)) = codes.next_if(|(_, point)| **point == levels) {
                index.push(Entry::Point(code));
                continue;
            }
            let start = neighbours.len() as u32;
            push_neighbours(points, &levels, shells, &mut neighbours);
            let end = neighbours.len() as u32;
            index.push(Entry::Near { start, end });
        }
        Self {
            points,
            index,
            neighbours,
        }
    }

    /// For the vectors of levels in the order of their numbers: its code, or else its neighbours'.
    pub(in crate::block) fn entries(&self) -> impl Iterator<Item = Result<u16, &[u16]>> {
        self.index.iter().map(|entry| match *entry {
            Entry::Point(code) => Ok(code),
            Entry::Near { start, end } => Err(&self.neighbours[start as usize..end as usize]),
        })
    }

    /// The levels of a vector with this number.
    pub(super) fn levels(number: usize) -> [u8; DIM] {
        let digit = |i| number / LEVELS.pow(i as u32) % LEVELS;
        std::array::from_fn(|i| digit(i) as u8)
    }

    /// The code of the vector with this number, or else the codes of its neighbours.
    #[inline]
    pub(in crate::block) fn near(&self, number: usize) -> &[u16] {
        match &self.index[number] {
            Entry::Point(code) => std::slice::from_ref(code),
            Entry::Near { start, end } => &self.neighbours[*start as usize..*end as usize],
        }
    }

    /// The levels of a code.
    pub(in crate::block) fn point(&self, code: u16) -> &[u8; DIM] {
        &self.points[usize::from(code)]
    }

    /// The vector with these levels, or else the neighbour with the least squared error
    /// Σ weight · (scale · value(level) - x)², the first of equals.
    pub(in crate::block) fn nearest(
        &self,
        levels: &[u8; DIM],
        x: &[f32; DIM],
        weights: &[f32; DIM],
        scale: f32,
        values: &[f32; LEVELS],
    ) -> Found {
        let digits = levels.iter().rev();
        let number = digits.fold(0, |number, level| number * LEVELS + usize::from(*level));
        let (start, end) = match self.index[number] {
            Entry::Point(code) => return Found { code, exact: true },
            Entry::Near { start, end } => (start as usize, end as usize),
        };
        // A coordinate's error depends on its level alone, so a few of them serve all neighbours.
        let errors: [[f32; LEVELS]; DIM] = std::array::from_fn(|i| {
            values.map(|value| {
                let difference = scale * value - x[i];
                weights[i] * difference * difference
            })
        });
        let neighbours = &self.neighbours[start..end];
        let mut best = (neighbours[0], f32::MAX);
        for code in neighbours {
            let levels = self.point(*code).iter().zip(&errors);
            let error = levels.fold(0.0, |sum, (level, errors)| {
                sum + errors[usize::from(*level)]
            });
            if error < best.1 {
                best = (*code, error);
            }
        }
        Found {
            code: best.0,
            exact: false,
        }
    }
}

/// Appends the codes of the points in the nearest `shells` shells around `levels`.
fn push_neighbours<const DIM: usize>(
    points: &[[u8; DIM]],
    levels: &[u8; DIM],
    shells: usize,
    neighbours: &mut Vec<u16>,
) {
    /// More than the largest squared distance: 8 · 2² or 4 · 7².
    const FAR: usize = 200;
    let distance = |point: &[u8; DIM]| {
        let differences = point.iter().zip(levels).map(|(a, b)| a.abs_diff(*b));
        differences
            .map(|d| usize::from(d) * usize::from(d))
            .sum::<usize>()
    };
    let distances: Vec<usize> = points.iter().map(distance).collect();
    let mut occurs = [false; FAR];
    for distance in &distances {
        occurs[*distance] = true;
    }
    for shell in (0..FAR).filter(|d| occurs[*d]).take(shells) {
        let codes = (0..).zip(&distances);
        neighbours.extend(codes.filter(|(_, d)| **d == shell).map(|(code, _)| code));
    }
}

#[cfg(test)]
mod tests {
    use super::super::points::{IQ2_S, IQ3_XXS};
    use super::*;

    #[test]
    fn points_find_themselves() {
        let lattice = Lattice::<8, 3>::new(&IQ2_S, 1);
        for (code, levels) in (0..).zip(&IQ2_S) {
            let found = lattice.nearest(levels, &[0.0; 8], &[1.0; 8], 1.0, &[0.0; 3]);
            assert!(found.exact);
            assert_eq!(found.code, code);
        }
    }

    #[test]
    fn others_find_the_nearest_neighbour() {
        let lattice = Lattice::<4, 8>::new(&IQ3_XXS, 2);
        let values = std::array::from_fn(|level| level as f32);
        for number in 0..8usize.pow(4) {
            let levels = Lattice::<4, 8>::levels(number);
            let x = levels.map(f32::from);
            let found = lattice.nearest(&levels, &x, &[1.0; 4], 1.0, &values);
            let distance = |point: &[u8; 4]| -> f32 {
                let pairs = point.iter().zip(&x);
                pairs.map(|(p, x)| (f32::from(*p) - x).powi(2)).sum()
            };
            let least = IQ3_XXS.iter().map(distance).fold(f32::MAX, f32::min);
            assert_eq!(distance(lattice.point(found.code)), least);
            assert_eq!(found.exact, least == 0.0);
        }
    }
}
