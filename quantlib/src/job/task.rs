//! One tensor of a job, whatever its encoding: how it is divided, and how a part of it is made.

use crate::codec::NonFinite;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::job::blocks::{self, Blocks, bytes};
use crate::job::evaluate::Source;
use crate::job::planar::{self, Planar};
use crate::job::turns::Turns;
use crate::model::{ImportanceSource, Model, OutputTensor};
use crate::tensor::Encoding;

/// One output tensor with its resolved source. It is divided in steps: elements, or for planar
/// tensors units of their layout.
#[derive(Debug)]
pub(super) struct Task<'m> {
    output: &'m OutputTensor,
    form: Form<'m>,
}

#[derive(Debug)]
enum Form<'m> {
    Blocks(Blocks<'m>),
    Planar(Box<Planar<'m>>),
}

/// What is done to the elements of a [`Task`].
pub(super) enum Encoder<'t> {
    Blocks(blocks::Encoder),
    Planar(planar::Encoder<'t>),
}

/// The memory of one worker, kept from tile to tile where it suffices.
#[derive(Default)]
pub(super) struct Buffers {
    blocks: blocks::Buffers,
    planar: planar::Buffers,
}

/// A part of a plane: the offset in it, and the bytes.
pub(super) type Piece<'b> = (u64, &'b [u8]);

impl<'m> Task<'m> {
    pub(super) fn new(output: &'m OutputTensor, model: &'m Model) -> Result<Self> {
        let source = Source::new(&output.source, model)?;
        if source.shape() != output.shape {
            return Err(Error::malformed(format!(
                "the plan gives the shape {:?}, but its values have {:?}",
                output.shape,
                source.shape()
            )));
        }
        let form = match &output.encoding {
            Encoding::Block(dtype) => Form::Blocks(Blocks::new(output, source, *dtype)?),
            Encoding::Affine(spec) => Form::Planar(Box::new(Planar::new(output, source, spec)?)),
            other => {
                return Err(Error::unsupported(format!(
                    "jobs do not write the encoding {other:?}"
                )));
            }
        };
        Ok(Self { output, form })
    }

    pub(super) fn name(&self) -> &'m str {
        &self.output.name
    }

    pub(super) fn shape(&self) -> &'m [usize] {
        &self.output.shape
    }

    pub(super) fn encoding(&self) -> &'m Encoding {
        &self.output.encoding
    }

    pub(super) fn stored_dtype(&self) -> DType {
        self.source().stored_dtype()
    }

    fn source(&self) -> &Source<'m> {
        match &self.form {
            Form::Blocks(blocks) => blocks.source(),
            Form::Planar(planar) => planar.source(),
        }
    }

    pub(super) fn elements(&self) -> usize {
        self.output.shape.iter().product()
    }

    /// Bytes of all planes in the output.
    pub(super) fn bytes_out(&self) -> u64 {
        match &self.form {
            Form::Blocks(blocks) => blocks.bytes_out(),
            Form::Planar(planar) => planar.bytes_out(),
        }
    }

    /// Bytes that as many elements take in the input.
    pub(super) fn bytes_in(&self) -> u64 {
        bytes(self.stored_dtype(), self.elements()) as u64
    }

    /// How many steps there are in all.
    pub(super) fn steps(&self) -> usize {
        match &self.form {
            Form::Blocks(blocks) => blocks.elements(),
            Form::Planar(planar) => planar.units(),
        }
    }

    /// Steps of a tile that takes at most `share` bytes, which [`divide`] found to be enough.
    pub(super) fn tile(&self, share: usize) -> usize {
        match &self.form {
            Form::Blocks(blocks) => blocks.tile(share),
            Form::Planar(planar) => planar.tile(share),
        }
    }

    /// Bytes of memory that the smallest tile takes.
    fn least_cost(&self) -> usize {
        match &self.form {
            Form::Blocks(blocks) => blocks.cost(blocks.unit().min(blocks.elements())),
            Form::Planar(planar) => planar.cost(planar.least()),
        }
    }

    /// What the smallest tile is, for people.
    fn least(&self) -> String {
        match &self.form {
            Form::Blocks(blocks) => format!("rows of {} elements", blocks.cols()),
            Form::Planar(planar) => format!("groups, {} at a time,", planar.least()),
        }
    }

    /// Whether there is an encoder, with the importance that the plan names.
    pub(super) fn check_encoder(
        &self,
        importance: Option<&dyn ImportanceSource>,
        non_finite: NonFinite,
    ) -> Result<()> {
        match &self.form {
            Form::Blocks(blocks) => blocks.encoder(importance, non_finite).map(drop),
            Form::Planar(planar) => planar.check(),
        }
    }

    /// What is to be done to the elements, with the importance that the plan names. May read the
    /// whole source, in tiles of at most `share` bytes; `proceed` is asked now and then.
    pub(super) fn encoder(
        &self,
        importance: Option<&dyn ImportanceSource>,
        non_finite: NonFinite,
        share: usize,
        proceed: &dyn Fn() -> Result<()>,
    ) -> Result<Encoder<'_>> {
        match &self.form {
            Form::Blocks(blocks) => blocks.encoder(importance, non_finite).map(Encoder::Blocks),
            Form::Planar(planar) => {
                let encoder = planar.encoder(non_finite, share, proceed)?;
                Ok(Encoder::Planar(encoder))
            }
        }
    }

    /// Makes the bytes of every plane of the steps from `start` up to `end`: whole tiles, or the
    /// rest. `proceed` is asked now and then.
    pub(super) fn make<'b>(
        &self,
        encoder: &Encoder<'_>,
        (start, end): (usize, usize),
        buffers: &'b mut Buffers,
        turns: &Turns,
        proceed: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<Piece<'b>>> {
        match (&self.form, encoder) {
            (Form::Blocks(blocks), Encoder::Blocks(encoder)) => {
                let buffers = &mut buffers.blocks;
                let piece = blocks.make(encoder, (start, end), buffers, turns, proceed)?;
                Ok(vec![piece])
            }
            (Form::Planar(planar), Encoder::Planar(encoder)) => {
                planar.make(encoder, start..end, &mut buffers.planar, turns, proceed)
            }
            _ => Err(Error::misuse("the encoder is another tensor's")),
        }
    }
}

/// Divides the memory among as many threads as it suffices for, up to `threads`: their number, and
/// the share of each in bytes.
pub(super) fn divide(tasks: &[Task<'_>], threads: usize, limit: u64) -> Result<(usize, usize)> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let costs = tasks.iter().map(|task| (task.least_cost(), task));
    let Some((need, task)) = costs.max_by_key(|(cost, _)| *cost) else {
        return Ok((1, limit));
    };
    if need > limit {
        return Err(Error::limit(format!(
            "its {} need {need} bytes of memory each, but the limit is {limit}; raise the memory limit to {need} or more",
            task.least()
        ))
        .in_tensor(task.name()));
    }
    let threads = threads.min(limit / need.max(1)).max(1);
    Ok((threads, limit / threads))
}
