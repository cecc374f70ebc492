//! Activations: rounded to integers, and back.

use super::super::draft::{Draft, Place, PlaneInfo};
use super::Scheme;
use super::edits::Edits;
use crate::calibrate::Range;
use crate::format::onnx::{Message, data_type, make_node};

/// The scale and the zero point of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Params {
    pub(super) scale: f32,
    pub(super) zero: u16,
}

impl Params {
    /// Those of a range.
    pub(super) fn of(range: Range, scheme: Scheme) -> Self {
        let (scale, zero) = scheme.levels().fit(range);
        Self {
            scale: scale as f32,
            zero: zero as u16,
        }
    }
}

/// A value of the main graph that is rounded to integers.
pub(super) struct Activation {
    pub(super) scale: f32,
    /// The value as it was, in f32.
    pub(super) wide: String,
    /// The rounded value.
    pub(super) output: String,
}

impl Activation {
    /// Puts the two nodes behind the one that makes the value, and a cast before them if that is f16;
    /// whoever wants the rounded value reads the new one.
    pub(super) fn put(
        draft: &mut Draft<'_>,
        edits: &mut Edits,
        (name, half): (&str, bool),
        params: Params,
        scheme: Scheme,
    ) -> Self {
        let output = draft
            .names
            .unique(&format!("{name}_DequantizeLinear_Output"));
        let mut wide = name.to_owned();
        if half {
            wide = draft.names.unique(&format!("{name}_f32"));
            let cast = cast(draft, [name, &wide], data_type::FLOAT);
            edits.put(draft, name, vec![cast]);
        }
        let nodes = nodes(draft, [name, &wide, &output], params, scheme);
        edits.put(draft, name, nodes);
        Self {
            scale: params.scale,
            wide,
            output,
        }
    }

    /// The same for a value that is not of the model, but made of one of the model's, `origin`, by nodes
    /// behind it. The rounded value.
    pub(super) fn put_behind(
        draft: &mut Draft<'_>,
        edits: &mut Edits,
        (origin, name): (&str, &str),
        params: Params,
        scheme: Scheme,
    ) -> String {
        let output = draft
            .names
            .unique(&format!("{name}_DequantizeLinear_Output"));
        let nodes = nodes(draft, [name, name, &output], params, scheme);
        edits.put(draft, origin, nodes);
        output
    }

    /// Lets an output of a node be the rounded value, for all that read it.
    pub(super) fn replace(
        draft: &mut Draft<'_>,
        edits: &mut Edits,
        (node, output): (Place, usize),
        name: &str,
        params: Params,
        scheme: Scheme,
    ) {
        let wide = draft.names.unique(&format!("{name}_QuantizeLinear_Input"));
        let nodes = nodes(draft, [name, &wide, name], params, scheme);
        edits.output(node, output, &wide);
        edits.put_behind(node, nodes);
    }
}

/// A `Cast` from one value to another.
pub(super) fn cast(draft: &mut Draft<'_>, [from, to]: [&str; 2], data_type: i64) -> Message {
    let name = draft.names.unique(&format!("{to}_Cast"));
    make_node(["Cast", "", &name], &[from], &[to], &[("to", data_type)])
}

/// Scale and zero point as constants, called after a value: their names.
pub(super) fn put_params(
    draft: &mut Draft<'_>,
    name: &str,
    params: Params,
    scheme: Scheme,
) -> [String; 2] {
    let (code_type, zero) = match scheme.activation_bits {
        8 => (data_type::UINT8, vec![params.zero as u8]),
        _ => (data_type::UINT16, params.zero.to_le_bytes().to_vec()),
    };
    let scale = params.scale.to_le_bytes().to_vec();
    let planes = [
        ("scale", data_type::FLOAT, scale),
        ("zero_point", code_type, zero),
    ];
    planes.map(|(ending, data_type, raw)| {
        let plane = PlaneInfo {
            name: draft.names.unique(&format!("{name}_{ending}")),
            data_type,
            shape: Vec::new(),
        };
        draft.add_constant(0, &plane, &raw);
        plane.name
    })
}

/// `QuantizeLinear` and `DequantizeLinear`, called after a value, from one value to another; with the
/// names that `quantize_static` gives them.
fn nodes(
    draft: &mut Draft<'_>,
    [name, from, to]: [&str; 3],
    params: Params,
    scheme: Scheme,
) -> Vec<Message> {
    let [scale, zero] = put_params(draft, name, params, scheme);
    let mut named = |ending: &str| draft.names.unique(&format!("{name}_{ending}"));
    let [quantize, dequantize] = ["QuantizeLinear", "DequantizeLinear"].map(&mut named);
    let codes = named("QuantizeLinear_Output");
    let node = |op: &str, name: &str, from: &str, to: &str| {
        let inputs = [from, &scale, &zero];
        make_node([op, scheme.domain, name], &inputs, &[to], &[])
    };
    vec![
        node("QuantizeLinear", &quantize, from, &codes),
        node("DequantizeLinear", &dequantize, &codes, to),
    ]
}
