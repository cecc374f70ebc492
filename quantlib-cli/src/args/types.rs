//! `quantlib types`

use clap::Args;

/// List the tensor types and the recipes
#[derive(Args)]
pub(crate) struct Types {
    /// Print one JSON document in place of text
    #[arg(long)]
    pub(crate) json: bool,
}
