//! What is known of ONNX's schema (onnx.proto, IR version 14): the messages that are looked into,
//! and what their long fields hold. Fields that are not here are kept as they are.

/// What a field with a length holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// At most one message.
    One(Kind),
    /// Any number of messages.
    Many(Kind),
    /// A name that others refer to, or that is compared: text that is always kept in memory.
    Name,
    /// Text and short lists, which are kept in memory if they are no longer than names may be.
    Text,
    /// Tensor data, packed numbers, and whatever is not known.
    Data,
}

/// Builds [`Kind`], the fields' numbers (`graph::NODE`) and the table from one list.
macro_rules! schema {
    ($($kind:ident = $module:ident { $($field:ident = $number:literal: $holds:expr;)* })*) => {
        /// A message of the schema.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            $($kind,)*
            /// Any other.
            Unknown,
        }

        $(
            #[allow(dead_code, reason = "the schema is whole, whatever of it is used")]
            pub(crate) mod $module {
                $(pub(crate) const $field: u32 = $number;)*
            }
        )*

        impl Kind {
            fn field(self, number: u32) -> Option<(&'static str, Holds)> {
                use Holds::*;
                Some(match (self, number) {
                    $($((Self::$kind, $number) => (stringify!($field), $holds),)*)*
                    _ => return None,
                })
            }
        }
    };
}

schema! {
    Model = model {
        IR_VERSION = 1: Data;
        PRODUCER_NAME = 2: Text;
        PRODUCER_VERSION = 3: Text;
        DOMAIN = 4: Text;
        MODEL_VERSION = 5: Data;
        DOC_STRING = 6: Text;
        GRAPH = 7: One(Kind::Graph);
        OPSET_IMPORT = 8: Many(Kind::OperatorSet);
        METADATA_PROPS = 14: Many(Kind::Property);
        TRAINING_INFO = 20: Many(Kind::Training);
        FUNCTIONS = 25: Many(Kind::Function);
    }
    OperatorSet = operator_set {
        DOMAIN = 1: Name;
        VERSION = 2: Data;
    }
    Graph = graph {
        NODE = 1: Many(Kind::Node);
        NAME = 2: Text;
        INITIALIZER = 5: Many(Kind::Tensor);
        DOC_STRING = 10: Text;
        INPUT = 11: Many(Kind::Value);
        OUTPUT = 12: Many(Kind::Value);
        VALUE_INFO = 13: Many(Kind::Value);
        SPARSE_INITIALIZER = 15: Many(Kind::SparseTensor);
    }
    Node = node {
        INPUT = 1: Name;
        OUTPUT = 2: Name;
        NAME = 3: Name;
        OP_TYPE = 4: Name;
        ATTRIBUTE = 5: Many(Kind::Attribute);
        DOC_STRING = 6: Text;
        DOMAIN = 7: Name;
    }
    Attribute = attribute {
        NAME = 1: Name;
        F = 2: Data;
        I = 3: Data;
        S = 4: Text;
        T = 5: One(Kind::Tensor);
        G = 6: One(Kind::Graph);
        FLOATS = 7: Data;
        INTS = 8: Text;
        TENSORS = 10: Many(Kind::Tensor);
        GRAPHS = 11: Many(Kind::Graph);
        DOC_STRING = 13: Text;
        TP = 14: One(Kind::Type);
        TYPE_PROTOS = 15: Many(Kind::Type);
        TYPE = 20: Data;
        REF_ATTR_NAME = 21: Name;
        SPARSE_TENSOR = 22: One(Kind::SparseTensor);
        SPARSE_TENSORS = 23: Many(Kind::SparseTensor);
    }
    Tensor = tensor {
        DIMS = 1: Text;
        DATA_TYPE = 2: Data;
        FLOAT_DATA = 4: Data;
        INT32_DATA = 5: Data;
        STRING_DATA = 6: Data;
        INT64_DATA = 7: Data;
        NAME = 8: Name;
        RAW_DATA = 9: Data;
        DOUBLE_DATA = 10: Data;
        UINT64_DATA = 11: Data;
        DOC_STRING = 12: Text;
        EXTERNAL_DATA = 13: Many(Kind::Property);
        DATA_LOCATION = 14: Data;
    }
    SparseTensor = sparse_tensor {
        VALUES = 1: One(Kind::Tensor);
        INDICES = 2: One(Kind::Tensor);
    }
    Value = value {
        NAME = 1: Name;
        TYPE = 2: One(Kind::Type);
        DOC_STRING = 3: Text;
    }
    Type = value_type {
        TENSOR_TYPE = 1: One(Kind::TensorType);
        SEQUENCE_TYPE = 4: One(Kind::ContainerType);
        MAP_TYPE = 5: One(Kind::MapType);
        SPARSE_TENSOR_TYPE = 8: One(Kind::TensorType);
        OPTIONAL_TYPE = 9: One(Kind::ContainerType);
    }
    TensorType = tensor_type {
        ELEM_TYPE = 1: Data;
        SHAPE = 2: One(Kind::Shape);
    }
    ContainerType = container_type {
        ELEM_TYPE = 1: One(Kind::Type);
    }
    MapType = map_type {
        VALUE_TYPE = 2: One(Kind::Type);
    }
    Shape = shape {
        DIM = 1: Many(Kind::Dimension);
    }
    Dimension = dimension {
        DIM_VALUE = 1: Data;
        DIM_PARAM = 2: Text;
    }
    Property = property {
        KEY = 1: Text;
        VALUE = 2: Text;
    }
    Function = function {
        NAME = 1: Name;
        INPUT = 4: Name;
        OUTPUT = 5: Name;
        ATTRIBUTE = 6: Name;
        NODE = 7: Many(Kind::Node);
        DOC_STRING = 8: Text;
        OPSET_IMPORT = 9: Many(Kind::OperatorSet);
        DOMAIN = 10: Name;
        ATTRIBUTE_PROTO = 11: Many(Kind::Attribute);
        VALUE_INFO = 12: Many(Kind::Value);
    }
    Training = training {
        INITIALIZATION = 1: One(Kind::Graph);
        ALGORITHM = 2: One(Kind::Graph);
    }
}

impl Kind {
    /// What a field with a length holds.
    pub(super) fn holds(self, number: u32) -> Holds {
        self.field(number).map_or(Holds::Data, |(_, holds)| holds)
    }

    /// A field's name as the schema has it, or its number if it is not known.
    pub(super) fn field_name(self, number: u32) -> String {
        match self.field(number) {
            Some((name, _)) => name.to_ascii_lowercase(),
            None => number.to_string(),
        }
    }
}
