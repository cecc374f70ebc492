//! Protobuf by hand: what no writer of models would write.

/// A number in the least bytes.
pub(crate) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A field that holds a number.
pub(crate) fn int(number: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value)].concat()
}

/// A field that holds bytes or a message.
pub(crate) fn bytes(number: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let tag = varint(u64::from(number) << 3 | 2);
    [tag, varint(value.len() as u64), value.to_vec()].concat()
}

/// A `TensorProto` of f32, raw.
pub(crate) fn tensor(name: &str, dims: &[u64], raw: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&dim| int(1, dim)).collect();
    [dims, int(2, 1), bytes(8, name), bytes(9, raw)].concat()
}

/// A key and a value, as external data have them.
fn entry(key: &str, value: &str) -> Vec<u8> {
    bytes(13, [bytes(1, key), bytes(2, value)].concat())
}

/// A `TensorProto` of four f32 whose data lie elsewhere.
pub(crate) fn external(entries: &[(&str, &str)]) -> Vec<u8> {
    let entries: Vec<u8> = entries.iter().flat_map(|(k, v)| entry(k, v)).collect();
    [int(1, 4), int(2, 1), bytes(8, "w"), entries, int(14, 1)].concat()
}

/// A `ModelProto` around the fields of a graph.
pub(crate) fn model(graph: impl AsRef<[u8]>) -> Vec<u8> {
    let opset = bytes(8, [bytes(1, ""), int(2, 21)].concat());
    [int(1, 10), bytes(7, graph), opset].concat()
}
