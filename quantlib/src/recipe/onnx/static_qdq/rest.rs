//! Activations in two parts: their codes, and the codes of what those leave. Both go through the same
//! product of integers, and the results are added.

use super::super::draft::Draft;
use super::Scheme;
use super::activation::{Activation, Params};
use super::edits::Edits;
use super::site::Site;
use crate::calibrate::{Range, TensorRange};
use crate::format::onnx::{Message, Node, make_node, schema};

/// The power of the values to that of the quantization error, in decibels, below which an activation
/// has two parts: outliers leave the others too few codes.
const POOR: f32 = 30.0;

/// The part of a range that the second part reaches to both sides: more than a step of the first, so
/// that values somewhat beyond the range of all samples are not cut off.
const REACH: f32 = 1.0 / 8.0;

/// Whether an activation that goes into a product should have two parts.
pub(super) fn needs(site: &Site, range: &TensorRange) -> bool {
    let poor = range.signal_to_noise.is_some_and(|ratio| ratio < POOR);
    // What a convolution yields is in integers itself, and cannot be added to.
    poor && site.result.is_none()
}

/// The range of the first part: all that was seen, for here nothing is gained by cutting outliers off.
pub(super) fn first(range: &TensorRange) -> Range {
    Range {
        low: range.least.unwrap_or(range.low).min(range.low),
        high: range.greatest.unwrap_or(range.high).max(range.high),
    }
}

/// The second part of an activation, and the value that products read it as.
pub(super) fn put(
    draft: &mut Draft<'_>,
    edits: &mut Edits,
    (name, first): (&str, &Activation),
    range: Range,
    scheme: Scheme,
) -> String {
    let reach = (range.high.max(0.0) - range.low.min(0.0)) * REACH;
    let reach = Range {
        low: -reach,
        high: reach,
    };
    let [rest, node] =
        ["rest", "rest_Sub"].map(|part| draft.names.unique(&format!("{name}_{part}")));
    let sub = make_node(
        ["Sub", "", &node],
        &[&first.wide, &first.output],
        &[&rest],
        &[],
    );
    edits.put(draft, name, vec![sub]);
    Activation::put_behind(
        draft,
        edits,
        (name, &rest),
        Params::of(reach, scheme),
        scheme,
    )
}

/// Adds the product of the second part, `rest`, to that of the first; both read the same weight. The sum
/// is `output`.
pub(super) fn add_product(
    draft: &mut Draft<'_>,
    edits: &mut Edits,
    site: &Site,
    (rest, weight): (&str, &str),
    output: &str,
) {
    let Some(node) = draft.node(site.node) else {
        return;
    };
    let [coarse, fine, sum] =
        ["coarse", "fine", "fine_Add"].map(|part| draft.names.unique(&format!("{output}_{part}")));
    let label = draft.names.unique(&format!("{}_fine", site.label));
    let second = product(&node, &label, [rest, weight], &fine);
    let add = make_node(["Add", "", &sum], &[&coarse, &fine], &[output], &[]);
    edits.output(site.node, 0, &coarse);
    edits.put_right_behind(site.node, vec![second, add]);
}

/// A product like another, without its bias.
fn product(like: &Node<'_>, name: &str, inputs: [&str; 2], output: &str) -> Message {
    let mut made = make_node([like.op_type(), "", name], &inputs, &[output], &[]);
    let attributes = like.attributes().cloned();
    attributes.for_each(|attribute| made.push(schema::node::ATTRIBUTE, attribute));
    made
}
