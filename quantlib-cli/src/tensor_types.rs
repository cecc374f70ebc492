//! `--tensor-type` and `--tensor-type-file`, in the order in which they were given: the first pattern
//! that matches decides.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};
use quantlib::recipe::TensorType;
use std::path::PathBuf;

const ONE: &str = "tensor_type";
const FILE: &str = "tensor_type_file";

/// The types that both options name.
#[derive(Default)]
pub(crate) struct TensorTypes(pub(crate) Vec<TensorType>);

impl Args for TensorTypes {
    fn augment_args(command: Command) -> Command {
        let one = Arg::new(ONE)
            .long("tensor-type")
            .value_name("RE=TYPE")
            .action(ArgAction::Append)
            .value_parser(|text: &str| text.parse::<TensorType>())
            .help("The type of tensors whose name a regular expression finds, such as attn_v=q8_0; may be given more than once, and the first that matches decides");
        let file = Arg::new(FILE)
            .long("tensor-type-file")
            .value_name("FILE")
            .action(ArgAction::Append)
            .value_parser(value_parser!(PathBuf))
            .help("A file with many of these, RE=TYPE with spaces or new lines between");
        command.arg(one).arg(file)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for TensorTypes {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut given = Vec::new();
        for (at, dtype) in placed::<TensorType>(matches, ONE) {
            given.push((at, vec![dtype]));
        }
        for (at, path) in placed::<PathBuf>(matches, FILE) {
            let types = TensorType::read_file(path);
            given.push((
                at,
                types.map_err(|e| Error::raw(ErrorKind::Io, format!("{e}\n")))?,
            ));
        }
        given.sort_by_key(|(at, _)| *at);
        Ok(Self(
            given.into_iter().flat_map(|(_, types)| types).collect(),
        ))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The values of an option with their places on the command line.
fn placed<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, id: &str) -> Vec<(usize, T)> {
    let places = matches.indices_of(id).into_iter().flatten();
    let values = matches.get_many::<T>(id).into_iter().flatten();
    places.zip(values.cloned()).collect()
}
