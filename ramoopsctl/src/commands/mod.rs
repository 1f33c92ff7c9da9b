// SPDX-License-Identifier: GPL-2.0

//! The commands.

mod clear;
mod delete;
mod export;
mod generate;
mod list;
mod map;
mod retention;
mod show;
mod verify;

use anyhow::Result;

use crate::{
    cli::{
        Cli,
        Command, //
    },
    session::{
        Outcome,
        Session, //
    }, //
};

/// Does what the command line says.
///
/// # Errors
///
/// If the usage is wrong, or the region cannot be read or written.
pub fn run(cli: &Cli) -> Result<Outcome> {
    let open = || Session::open(&cli.region, cli.color);
    match &cli.command {
        Command::List(args) => list::run(&open()?, args),
        Command::Show(args) => show::run(&open()?, args),
        Command::Export(args) => export::run(&open()?, args),
        Command::Map(args) => map::run(&open()?, args),
        Command::Verify(args) => verify::run(&open()?, args),
        Command::Clear(args) => clear::run(&open()?, args),
        Command::Retention(command) => retention::run(&cli.region, command),
        Command::Completions { shell } => generate::completions(*shell),
        Command::Man { dir } => generate::man(dir.as_deref()),
    }
}
