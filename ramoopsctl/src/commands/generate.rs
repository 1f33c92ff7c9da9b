// SPDX-License-Identifier: GPL-2.0

//! `ramoopsctl completions` and `ramoopsctl man`: made from the definition of the command line.

use std::{
    fs,
    io::{
        stdout,
        Write, //
    },
    path::Path,
};

use anyhow::{
    Context,
    Result, //
};
use clap::CommandFactory;
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
                .and_then(|()| clap_mangen::generate_to(Cli::command(), dir))
                .with_context(|| format!("cannot write man pages into {}", dir.display()))?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(Cli::command()).section("8").render(&mut page)?;
            stdout().lock().write_all(&page)?;
        }
    }
    Ok(Outcome::Good)
}
