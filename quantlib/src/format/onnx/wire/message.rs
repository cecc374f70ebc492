//! Messages, their fields, and how they are looked at and edited.

use crate::error::{Error, Result};

/// A message: fields in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    fields: Vec<Field>,
}

/// One field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The number by which the schema knows the field.
    pub number: u32,
    /// What it holds.
    pub value: Value,
    /// Bytes that the tag takes at least. Writers may pad numbers, and what was read is written
    /// back with the same padding.
    pub(super) tag_width: u8,
    /// The same for the number, or the length, after the tag; for a group, the tag at its end.
    pub(super) width: u8,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number of variable length: integers, enums, booleans. Negative ones are sign-extended.
    Varint(u64),
    /// Eight bytes, little-endian: `double`.
    Fixed64(u64),
    /// Four bytes, little-endian: `float`.
    Fixed32(u32),
    /// Text, tensor data, packed numbers, or a message that nothing here looks into.
    Bytes(Bytes),
    /// A message of the schema.
    Message(Message),
    /// What lies between the two tags of a group. ONNX has none, but unknown fields may.
    Group(Bytes),
}

/// A run of bytes and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// In memory: short ones.
    Memory(Box<[u8]>),
    /// In a file of the document.
    Stored {
        /// The index of the file: 0 for the `.onnx` file itself.
        file: u32,
        /// Where the first byte lies.
        offset: u64,
        /// How many there are.
        len: u64,
    },
    /// Nowhere yet: a job will write them when the rest of the file is laid out.
    Later {
        /// Whose bytes they are.
        slot: usize,
        /// How many there will be.
        len: u64,
    },
}

impl Bytes {
    /// Their number.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Stored { len, .. } | Self::Later { len, .. } => *len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(bytes) => Some(bytes),
            Self::Stored { .. } | Self::Later { .. } => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Bytes(Bytes::Memory(text.as_bytes().into()))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Varint(number.cast_unsigned())
    }
}

impl From<f32> for Value {
    fn from(number: f32) -> Self {
        Self::Fixed32(number.to_bits())
    }
}

impl From<Message> for Value {
    fn from(message: Message) -> Self {
        Self::Message(message)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl Field {
    /// A field, encoded in the shortest way.
    pub fn new(number: u32, value: impl Into<Value>) -> Self {
        Self {
            number,
            value: value.into(),
            tag_width: 0,
            width: 0,
        }
    }
}

/// The text that bytes hold; empty if they are no UTF-8 or too long to be kept in memory. Those that
/// must be text were checked when they were read.
fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::Bytes(bytes) => std::str::from_utf8(bytes.in_memory()?).ok(),
        _ => None,
    }
}

impl Message {
    /// A message without fields.
    pub const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    /// A message of these fields.
    pub fn of(fields: impl IntoIterator<Item = Field>) -> Self {
        Self {
            fields: fields.into_iter().collect(),
        }
    }

    /// The fields in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The fields, to be edited, reordered or removed.
    pub fn fields_mut(&mut self) -> &mut Vec<Field> {
        &mut self.fields
    }

    /// The values of a repeated field in order.
    pub fn all(&self, number: u32) -> impl DoubleEndedIterator<Item = &Value> {
        let fields = self.fields.iter();
        let fields = fields.filter(move |field| field.number == number);
        fields.map(|field| &field.value)
    }

    /// The value of a field: of several, the last counts, as protobuf has it.
    pub fn get(&self, number: u32) -> Option<&Value> {
        self.all(number).next_back()
    }

    /// An integer.
    pub fn int(&self, number: u32) -> Option<i64> {
        match self.get(number) {
            Some(Value::Varint(number)) => Some(number.cast_signed()),
            _ => None,
        }
    }

    /// Text; empty if the field is missing.
    pub fn text(&self, number: u32) -> &str {
        self.get(number).and_then(as_text).unwrap_or_default()
    }

    /// The texts of a repeated field.
    pub fn texts(&self, number: u32) -> impl DoubleEndedIterator<Item = &str> {
        self.all(number)
            .map(|value| as_text(value).unwrap_or_default())
    }

    /// The bytes of a field.
    pub fn bytes(&self, number: u32) -> Option<&Bytes> {
        match self.get(number) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The message in a field.
    pub fn message(&self, number: u32) -> Option<&Message> {
        self.messages(number).next_back()
    }

    /// The message in a field, to be edited.
    pub fn message_mut(&mut self, number: u32) -> Option<&mut Message> {
        self.messages_mut(number).next_back()
    }

    /// The messages of a repeated field in order.
    pub fn messages(&self, number: u32) -> impl DoubleEndedIterator<Item = &Message> {
        self.all(number).filter_map(|value| match value {
            Value::Message(message) => Some(message),
            _ => None,
        })
    }

    /// The messages of a repeated field, to be edited.
    pub fn messages_mut(&mut self, number: u32) -> impl DoubleEndedIterator<Item = &mut Message> {
        let fields = self.fields.iter_mut();
        fields.filter_map(move |field| match &mut field.value {
            Value::Message(message) if field.number == number => Some(message),
            _ => None,
        })
    }

    /// The integers of a repeated field, packed or not.
    ///
    /// # Errors
    /// `malformed` if packed ones are cut off, `limit` if there are too many to be kept in memory.
    pub fn ints(&self, number: u32) -> Result<Vec<i64>> {
        let mut ints = Vec::new();
        for value in self.all(number) {
            match value {
                Value::Varint(number) => ints.push(number.cast_signed()),
                Value::Bytes(bytes) => {
                    let mut rest = bytes
                        .in_memory()
                        .ok_or_else(|| Error::limit("has too many numbers to be looked at"))?;
                    while !rest.is_empty() {
                        let (number, width) = super::varint(rest)?;
                        ints.push(number.cast_signed());
                        rest = &rest[width..];
                    }
                }
                _ => {}
            }
        }
        Ok(ints)
    }

    /// Appends a field.
    pub fn push(&mut self, number: u32, value: impl Into<Value>) {
        self.fields.push(Field::new(number, value));
    }

    /// Sets a field that is there once: in its place, or at the end if it was missing.
    pub fn set(&mut self, number: u32, value: impl Into<Value>) {
        match self.fields.iter().rposition(|f| f.number == number) {
            Some(place) => self.fields[place] = Field::new(number, value),
            None => self.push(number, value),
        }
    }

    /// Gives a field other bytes, in its place and with its padding, or appends it.
    pub fn put_bytes(&mut self, number: u32, bytes: Bytes) {
        let mut fields = self.fields.iter_mut();
        match fields.rfind(|field| field.number == number) {
            Some(field) => field.value = Value::Bytes(bytes),
            None => self.push(number, bytes),
        }
    }

    /// Lets `keep` edit the messages of a repeated field, and removes those that it does not keep.
    pub fn edit(&mut self, number: u32, keep: &mut dyn FnMut(&mut Message) -> bool) {
        self.fields.retain_mut(|field| match &mut field.value {
            Value::Message(message) if field.number == number => keep(message),
            _ => true,
        });
    }

    /// Removes all values of a field.
    pub fn remove(&mut self, number: u32) {
        self.fields.retain(|field| field.number != number);
    }
}
