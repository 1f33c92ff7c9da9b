// SPDX-License-Identifier: GPL-2.0

//! `ramoopsctl completions` and `ramoopsctl man`: made from the definition of the command line.

use std::{
    fs,
    io::{
        self,
        stdout,
        Write, //
    },
    path::Path,
};

use anyhow::{
    Context,
    Result, //
};
use clap::{
    Command,
    CommandFactory, //
};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{
    cli::Cli,
    session::Outcome, //
};

/// Prints completions for a shell.
pub(super) fn completions(shell: Shell) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ramoopsctl", &mut script);
    stdout().lock().write_all(&script)?;
    Ok(Outcome::Good)
}

/// Prints the man page, or writes all of them into a directory.
pub(super) fn man(dir: Option<&Path>) -> Result<Outcome> {
    match dir {
        Some(dir) => {
            fs::create_dir_all(dir)
                .and_then(|()| write_man(built(), dir))
                .with_context(|| format!("cannot write man pages into {}", dir.display()))?;
        }
        None => {
            let mut page = Vec::new();
            page_of(built()).render(&mut page)?;
            stdout().lock().write_all(&page)?;
        }
    }
    Ok(Outcome::Good)
}

/// Returns the command with what clap adds to it, such as the full names of subcommands.
fn built() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

fn page_of(command: Command) -> Man {
    Man::new(command).section("8").manual("rust_ramoops")
}

/// Writes the page of a command, and those of its subcommands.
fn write_man(command: Command, dir: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands() {
        write_man(subcommand.clone(), dir)?;
    }
    page_of(command).generate_to(dir)?;
    Ok(())
}
