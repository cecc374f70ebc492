//! The vocabulary in which architectures are described.

use super::hparams::Hparams;
use super::mlx::Mlx;
use super::params::SHARED_KEYS;
use crate::error::{Error, Result};
use crate::format::hf::VocabStyle;

/// One architecture: everything that conversion needs to know of it, as data.
#[derive(Debug)]
pub(super) struct Family {
    /// Its model classes, as `architectures` in config.json names them.
    pub(super) classes: &'static [&'static str],
    /// Classes that are the bare inner model, with what their tensor names lack in front.
    pub(super) bare: &'static [(&'static str, &'static str)],
    /// `general.architecture`, which is also the prefix of its hyper-parameter keys.
    pub(super) gguf: &'static str,
    /// Parts of folder names and titles, in lower case, by which the converter recognizes
    /// rerankers: it makes classifiers of them.
    pub(super) rerankers: &'static [&'static str],
    /// What config.json must say.
    pub(super) demands: &'static [Demand],
    /// Descriptions that hold instead where one of these hyper-parameters is true.
    pub(super) variants: &'static [(&'static str, &'static Family)],
    /// Hyper-parameters that count otherwise than config.json has them.
    pub(super) adjust: &'static [Adjust],
    /// Other spellings of source names.
    pub(super) spellings: &'static [Spelling],
    /// Starts of the (respelled) names of tensors that are left out.
    pub(super) skip: &'static [&'static str],
    /// Ends of the names of tensors that are left out.
    pub(super) skip_ends: &'static [&'static str],
    /// Tensors that hyper-parameters leave out.
    pub(super) spare: &'static [Spare],
    /// Methods of quantization (`quant_method`) whose weights can be converted, beside `fp8`,
    /// which is none of an architecture's own.
    pub(super) quantized: &'static [&'static str],
    /// The tensors, in groups that architectures can share.
    pub(super) tensors: &'static [&'static [Tensor]],
    /// Tensors that are calculated from hyper-parameters and go first.
    pub(super) computed: &'static [Computed],
    /// Keys that the converter writes before those of the model's name and origin.
    pub(super) early: &'static [Param],
    /// Hyper-parameters that the keys make nothing of.
    pub(super) ignored: &'static [&'static str],
    /// Hyper-parameters that the keys take otherwise than config.json has them.
    pub(super) stated: &'static [(&'static str, u32)],
    /// The keys in order, in groups that architectures can share:
    /// [`SHARED_KEYS`](super::params::SHARED_KEYS) are those of almost all.
    pub(super) params: &'static [&'static [Param]],
    /// How the vocabulary is found.
    pub(super) vocab: VocabStyle,
    /// What MLX makes of it, for each model type that mlx_lm has.
    pub(super) mlx: &'static [Mlx],
}

impl Family {
    /// A description that says nothing yet.
    pub(super) const BLANK: Self = Self {
        classes: &[],
        bare: &[],
        gguf: "",
        rerankers: &[],
        demands: &[],
        variants: &[],
        adjust: &[],
        spellings: &[],
        skip: &[],
        skip_ends: &[],
        spare: &[],
        quantized: &[],
        tensors: &[],
        computed: &[],
        early: &[],
        ignored: &[],
        stated: &[],
        params: &[SHARED_KEYS],
        vocab: VocabStyle::Gpt2,
        mlx: &[],
    };
}

/// What a hyper-parameter must be for the description to hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Demand {
    /// It must be there.
    Present(&'static str),
    /// It must be there and not be zero.
    Positive(&'static str),
    /// It must be there and be this.
    Is(&'static str, Given),
    /// It must be absent, or false in Python's sense.
    Without(&'static str),
}

/// The value of a hyper-parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given {
    Null,
    Flag(bool),
    Number(f64),
    Text(&'static str),
}

/// A change to hyper-parameters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Adjust {
    /// The positions up to that of padding are never used: they do not count.
    PositionsAfterPadding,
    /// The same, where the vocabulary is XLM-RoBERTa's.
    PositionsAfterPaddingOfUnigram,
    /// Nomic's models claim more positions than they were trained for.
    NomicPositions,
}

/// Tensors that hyper-parameters leave out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spare {
    /// The output matrix, where the embeddings take its place.
    TiedHead,
    /// Blocks behind the last: layers that predict further tokens.
    BlocksBehind,
}

/// A change to the names of source tensors.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spelling {
    /// A start that is dropped.
    Prefix(&'static str),
    /// A part that is dropped wherever it stands.
    Part(&'static str),
    /// An end that is written otherwise.
    Suffix(&'static str, &'static str),
    /// The start of a whole name that is written otherwise where the classes of a classifier have
    /// labels of their own.
    Labelled(&'static str, &'static str),
}

/// A tensor of the architecture: two names without `.weight` or `.bias`, where `{}` stands for
/// the number of the block, and what becomes of its values. A source tensor that is described
/// several times is split: it becomes as many output tensors, in the order of the descriptions.
#[derive(Debug)]
pub(super) struct Tensor {
    /// The name in Hugging Face's files.
    pub(super) hf: &'static str,
    /// The name in the output: GGUF, or MLX where a model type is described for it.
    pub(super) output: &'static str,
    /// Whether this is one of many source tensors that become one. In `hf` a second `{}` stands
    /// for its number.
    pub(super) stack: Option<&'static Stack>,
    /// What becomes of the values of a source tensor.
    pub(super) rewrite: Rewrite,
    /// What limits the choice of its type.
    pub(super) class: TypeClass,
    /// Whether it stands before the others, as calculated tensors do.
    pub(super) ahead: bool,
}

/// How many source tensors of a block become one output tensor with one more dimension in front.
///
/// The output tensors of a block that belong together stand where the last of all their source
/// tensors stood, in the order of their descriptions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Stack {
    /// What there are many of.
    pub(super) of: &'static str,
    /// Spellings of the hyper-parameter that says how many.
    pub(super) count: &'static [&'static str],
}

/// What becomes of a tensor's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rewrite {
    /// Nothing.
    Keep,
    /// The halves of each rotary head become pairs of neighbours.
    PairHalves(Heads),
    /// Rows and columns of a matrix change places; biases stay.
    Transpose,
    /// Each group of query heads with its key and value heads (Falcon's joined matrix) is taken
    /// apart: all query heads come first, then all key heads, then all value heads.
    UngroupHeads,
    /// One is added: norms that multiply by one and their weight.
    AddOne,
    /// Rows that belong to no token are left out.
    TokenRows,
    /// One half of the rows of each matrix: two projections joined.
    HalfOfRows(Half),
    /// Rows and columns of each matrix of a stack change places; biases stay.
    TransposeEach,
    /// Every second column of each matrix of a stack, as rows, and every second element of a bias:
    /// two projections that alternate.
    Alternate(Half),
    /// MX's 4-bit floats, repacked to GGUF's blocks: the source tensor has the scales (its name
    /// ends in `_scales`), the one with `_blocks` the codes. Of alternating projections one.
    Microscaled(Option<Half>),
    /// The codes beside such scales as MLX has them: the same bytes, seen as 32-bit words.
    MicroscaledWords(Option<Half>),
    /// Every second row of each matrix of a stack.
    AlternateRows(Half),
    /// Of the joined up-projection of latent keys and values (`kv_b_proj`) that of the keys, with
    /// the rows and columns of each head swapped.
    LatentKeys,
    /// That of the values.
    LatentValues,
    /// Position embeddings without those up to that of padding.
    AfterPadding,
    /// Rows of all experts one after the other become a matrix for each.
    PartExperts,
    /// The same, and rows and columns of each matrix change places.
    PartExpertsTransposed,
}

/// One of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    First,
    Second,
}

/// Which heads the rows of a projection belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heads {
    /// Query heads.
    Query,
    /// Key and value heads, of which there may be fewer.
    Key,
}

/// What limits the choice of a tensor's type, beside its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TypeClass {
    /// A matrix like others.
    Matrix,
    /// Embeddings or the output matrix, too important for ternary types.
    Embedding,
    /// Always f32.
    Exact,
}

impl Tensor {
    /// A matrix (or, with a name in `_norm`, a norm) whose values stay as they are.
    pub(super) const fn new(hf: &'static str, output: &'static str) -> Self {
        Self {
            hf,
            output,
            stack: None,
            rewrite: Rewrite::Keep,
            class: TypeClass::Matrix,
            ahead: false,
        }
    }

    pub(super) const fn rewrite(mut self, rewrite: Rewrite) -> Self {
        self.rewrite = rewrite;
        self
    }

    pub(super) const fn stack(mut self, stack: &'static Stack) -> Self {
        self.stack = Some(stack);
        self
    }

    pub(super) const fn ahead(mut self) -> Self {
        self.ahead = true;
        self
    }

    pub(super) const fn class(mut self, class: TypeClass) -> Self {
        self.class = class;
        self
    }
}

/// A calculated tensor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Computed {
    /// The factors that Llama 3.1's rope scaling divides frequencies by; only with that scaling.
    Llama3RopeFactors,
    /// None, and an error with Llama 3.1's rope scaling: the architecture has no place for its factors.
    WithoutLlama3Scaling,
    /// The factors that Phi 3 divides frequencies by, for two lengths of context.
    LongRopeFactors,
}

/// A metadata key. The names are those after the architecture's prefix.
#[derive(Debug)]
pub(super) enum Param {
    /// An integer, copied from the first of these hyper-parameters that is there.
    Uint(&'static str, &'static [&'static str]),
    /// An integer or a list with one for each block, copied likewise.
    Uints(&'static str, &'static [&'static str]),
    /// A float, copied likewise.
    Float(&'static str, &'static [&'static str]),
    /// Copied keys, each of which the architecture cannot do without.
    Needed(&'static [Param]),
    /// An integer, copied likewise, or else this one.
    UintOr(&'static str, u32, &'static [&'static str]),
    /// A float, copied likewise, or else this one.
    FloatOr(&'static str, f32, &'static [&'static str]),
    /// An integer, copied likewise unless it is zero.
    Positive(&'static str, &'static [&'static str]),
    /// A float, copied likewise unless it is zero.
    Factor(&'static str, &'static [&'static str]),
    /// An integer, copied likewise and multiplied.
    Times(&'static str, u32, &'static [&'static str]),
    /// A flag, copied from a hyper-parameter, or else this one.
    FlagOr(&'static str, bool, &'static str),
    /// A flag of the architecture itself.
    Flag(&'static str, bool),
    /// An integer of the architecture itself.
    Number(&'static str, u32),
    /// A float of the architecture itself.
    Real(&'static str, f32),
    /// A text of the architecture itself.
    Text(&'static str, &'static str),
    /// `attention.causal`, where config.json says that attention looks both ways.
    NotCausal,
    /// The `rope.*` keys of scaling and base.
    Rope,
    /// `rope.dimension_count`: the length of a head.
    RopeDimensions,
    /// `rope.dimension_count`, where only a part of a head is turned.
    PartlyTurned(Turned),
    /// `rope.freq_base`, and what it is without one; none is an error where that is `None`.
    RopeBase(Option<f32>),
    /// `rope.scaling.original_context_length`.
    TrainedContext,
    /// `rope.scaling.attn_factor` of models with factors for two lengths of context.
    LongRopeAttention,
    /// `attention.sliding_window`, unless every layer is the last of its pattern.
    Window,
    /// `attention.sliding_window` and which layers have one; without a list all but the last of
    /// every so many.
    Windows(u32),
    /// None, and an error where this hyper-parameter is set, with the reason.
    Refuse(&'static str, &'static str),
    /// The sum of these hyper-parameters, absent ones as given here.
    Sum(&'static str, &'static [(&'static str, Option<u32>)]),
    /// True, where this hyper-parameter is.
    IfTrue(&'static str, &'static str),
    /// `leading_dense_block_count`: blocks before those with experts.
    LeadingDense,
    /// `expert_gating_func`: how the experts' scores become weights.
    Gating,
    /// `rope.scaling.yarn_log_multiplier`, as DeepSeek has it.
    YarnLogMultiplier,
    /// `attention.key_length` and `attention.value_length`, where the length of heads is given.
    HeadLengths,
    /// `general.file_type`.
    FileType,
    /// `pooling_type`, as sentence-transformers folders have it, and that of a classifier.
    Pooling,
    /// `classifier.output_labels`, where they mean something.
    Labels,
}

/// How the elements of a head that rope turns are counted, given the part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// The part of the width, rounded down, shared among the heads.
    OfWidth,
    /// The part of a head's elements, rounded down.
    OfHead,
}

impl Family {
    /// Whether tensors are cut to the number of tokens.
    pub(super) fn cuts_tokens(&self) -> bool {
        let mut tensors = self.tensors.iter().copied().flatten();
        tensors.any(|tensor| tensor.rewrite == Rewrite::TokenRows)
    }

    /// The description that holds for a model: this one or another of the class.
    pub(super) fn variant(&'static self, hparams: &Hparams) -> &'static Family {
        let mut variants = self.variants.iter();
        let holds = variants.find(|(name, _)| hparams.is_true(name));
        holds.map_or(self, |(_, variant)| variant)
    }

    /// The family of a model class.
    ///
    /// # Errors
    /// `unsupported`, with the known classes and the closest.
    pub(super) fn of(class: &str, families: &[&'static Family]) -> Result<&'static Family> {
        let known = |family: &&&Family| family.classes.contains(&class);
        families.iter().find(known).copied().ok_or_else(|| {
            let classes = families.iter().flat_map(|family| family.classes);
            let closest = classes.clone().min_by_key(|known| distance(class, known));
            Error::unsupported(format!(
                "the architecture '{class}' cannot be converted; the known ones are {} (the closest is {})",
                classes.copied().collect::<Vec<_>>().join(", "),
                closest.unwrap_or(&"none"),
            ))
        })
    }
}

/// Number of single-character edits between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::super::families;
    use super::*;
    use crate::error::ErrorKind;
    use std::collections::HashSet;

    #[test]
    fn an_unknown_class_names_the_closest() {
        let error = Family::of("Qwen35ForCausalLM", families::ALL).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("closest is Qwen3ForCausalLM"), "{text}");
        assert!(text.contains("BertModel"), "{text}");
        assert_eq!((distance("ab", ""), distance("kitten", "sitting")), (2, 3));
    }

    #[test]
    fn descriptions_are_consistent() {
        let mut classes = HashSet::new();
        for family in families::ALL {
            for class in family.classes {
                assert!(classes.insert(class), "{class} is described twice");
            }
            let mut names = HashSet::new();
            for tensor in family.tensors.iter().copied().flatten() {
                let Tensor { hf, output, .. } = tensor;
                assert!(names.insert((hf, output)), "{hf} twice");
                let numbers = |name: &str| name.matches("{}").count();
                let stacked = usize::from(tensor.stack.is_some());
                assert_eq!(numbers(hf), numbers(output) + stacked, "{hf}");
            }
        }
    }
}
