//! The command line: one binary, one subcommand per thing people do.
//!
//! | file | subcommand |
//! |---|---|
//! | [`serve`] | `serve`: run the broker |

pub mod serve;
