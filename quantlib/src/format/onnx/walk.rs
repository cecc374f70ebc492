//! Finds messages of one kind wherever they are in a model.

use super::schema::{Holds, Kind};
use super::wire::{Field, Message, Value};
use crate::error::Result;

/// Where a tensor was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An initializer of a graph.
    Initializer,
    /// The value of an attribute, or a part of a sparse tensor.
    Other,
}

/// Calls `each` with every tensor in a message of this kind.
pub(super) fn each_tensor_mut(
    message: &mut Message,
    kind: Kind,
    each: &mut dyn FnMut(&mut Message, Role) -> Result<()>,
) -> Result<()> {
    for Field { number, value, .. } in message.fields_mut() {
        let (Value::Message(inner), Holds::One(child) | Holds::Many(child)) =
            (value, kind.holds(*number))
        else {
            continue;
        };
        match (kind, child) {
            (Kind::Graph, Kind::Tensor) => each(inner, Role::Initializer)?,
            (_, Kind::Tensor) => each(inner, Role::Other)?,
            _ => each_tensor_mut(inner, child, each)?,
        }
    }
    Ok(())
}

/// Calls `each` with every message of a kind in a message of this kind, outer ones first.
pub(super) fn each_of<'m>(
    wanted: Kind,
    message: &'m Message,
    kind: Kind,
    each: &mut dyn FnMut(&'m Message),
) {
    if kind == wanted {
        each(message);
    }
    for Field { number, value, .. } in message.fields() {
        if let (Value::Message(inner), Holds::One(child) | Holds::Many(child)) =
            (value, kind.holds(*number))
        {
            each_of(wanted, inner, child, each);
        }
    }
}
