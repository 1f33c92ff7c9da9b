// SPDX-License-Identifier: GPL-2.0

//! `ramoopsctl`: reads crash logs from reserved RAM.

#![forbid(unsafe_code)]

use std::{
    io,
    process::ExitCode, //
};

use clap::Parser;
use ramoopsctl::{
    cli::Cli,
    commands,
    session::Outcome, //
};

fn main() -> ExitCode {
    match commands::run(&Cli::parse()) {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::from(1),
        // Whoever reads our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ramoopsctl: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
