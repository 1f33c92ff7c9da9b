// SPDX-License-Identifier: GPL-2.0

//! The command line. Help, man pages and completions are made from this.

use std::path::PathBuf;

use clap::{
    Args,
    Parser,
    Subcommand,
    ValueEnum,
    ValueHint, //
};
use clap_complete::Shell;

use crate::detect::{
    Format,
    Hints, //
};

const EXAMPLES: &str = "\
EXAMPLES
  ramoopsctl list                          what has crashed, from the MTD device of rust_phram
  ramoopsctl show                          the log of the newest crash
  ramoopsctl show 2 --raw > crash.txt      the second oldest, byte for byte
  ramoopsctl -f oops.img list --json       an image made with dd
  ramoopsctl -f guest.mem list             the memory of a virtual machine
  ramoopsctl -f /dev/mem --offset 0x8000000 --length 0x100000 list
  ssh host dd if=/dev/mtd0 | ramoopsctl -f - show

EXIT STATUS
  0   all is well
  1   nothing was found, or problems were found
  2   wrong usage, or the region cannot be read or written";

/// Reads crash logs from reserved RAM.
///
/// It knows the records of rust_ramoops, the zones of the kernel's own ramoops (dmesg, console, pmsg,
/// ftrace; compressed, with ECC) and the pages of mtdoops, and finds out itself how a region is divided.
#[derive(Debug, Parser)]
#[command(name = "ramoopsctl", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// Which region, and how it is divided.
    #[command(flatten)]
    pub region: RegionArgs,

    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which region, and how it is divided.
#[derive(Args, Debug)]
pub struct RegionArgs {
    /// Image or device with the region; - is standard input [default: the MTD device in RAM, if there
    /// is just one]
    #[arg(short, long, global = true, value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,

    /// Where in the file the region begins, or may begin
    #[arg(long, global = true, value_name = "SIZE", value_parser = size, default_value = "0")]
    pub offset: u64,

    /// How far it may reach [default: up to the end of the file]
    #[arg(long, global = true, value_name = "SIZE", value_parser = size)]
    pub length: Option<u64>,

    /// What wrote into the region [default: found out]
    #[arg(long, global = true, help_heading = "Layout (found out unless given)")]
    pub format: Option<FormatArg>,

    /// As the module parameter
    #[arg(long, global = true, value_name = "SIZE", value_parser = size,
        help_heading = "Layout (found out unless given)")]
    pub record_size: Option<u64>,

    /// As the module parameter
    #[arg(long, global = true, value_name = "SIZE", value_parser = size,
        help_heading = "Layout (found out unless given)")]
    pub console_size: Option<u64>,

    /// As the module parameter
    #[arg(long, global = true, value_name = "SIZE", value_parser = size,
        help_heading = "Layout (found out unless given)")]
    pub ftrace_size: Option<u64>,

    /// As the module parameter
    #[arg(long, global = true, value_name = "SIZE", value_parser = size,
        help_heading = "Layout (found out unless given)")]
    pub pmsg_size: Option<u64>,

    /// Bytes of parity for each 128 bytes; 1 means 16, as for the module
    #[arg(long, global = true, value_name = "BYTES", value_parser = clap::value_parser!(u8).range(..=127),
        help_heading = "Layout (found out unless given)")]
    pub ecc: Option<u8>,
}

impl RegionArgs {
    /// Returns what is known about the layout.
    pub fn hints(&self) -> Hints {
        // On a 32-bit machine a larger size cannot be that of a region in memory either.
        let size = |size: Option<u64>| size.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        Hints {
            format: self.format.map(|format| match format {
                FormatArg::Ramoops => Format::Ramoops,
                FormatArg::Mtdoops => Format::Mtdoops,
            }),
            is_placed: self.offset != 0 || self.length.is_some(),
            record_size: size(self.record_size),
            console_size: size(self.console_size),
            ftrace_size: size(self.ftrace_size),
            pmsg_size: size(self.pmsg_size),
            ecc: self.ecc.map(usize::from),
        }
    }
}

/// What wrote into the region.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FormatArg {
    /// rust_ramoops, or the kernel's own ramoops
    Ramoops,
    /// mtdoops
    Mtdoops,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the records, the newest last
    List(ListArgs),
    /// Show the text of records
    Show(ShowArgs),
    /// Save each record as a file of its own
    #[command(
        after_help = "A file that is there already is left alone, so that this can run at each boot."
    )]
    Export(ExportArgs),
    /// Draw what is where in the region
    Map(JsonArgs),
    /// Check the region, and tell what is wrong with it
    Verify(JsonArgs),
    /// Delete records
    #[command(after_help = "\
Deleting one record does what deleting its file in /sys/fs/pstore does: the zone is marked as empty. Its text, and a seal \
with the time, the kernel and the reason to panic, stay in the RAM until another record overwrites them (see list \
--deleted); with --wipe, nothing of it stays. Deleting all of them overwrites the whole region with 0xff, as erasing an \
MTD device does. Nothing is deleted if the records changed in the meantime. Only image files and MTD devices in RAM are \
written; rust_ramoops, if it is loaded, learns which slots are free.")]
    Clear(ClearArgs),
    /// Learn whether the memory of this machine survives a reset
    #[command(subcommand)]
    Retention(Retention),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the man page, or write one for each command into a directory
    Man {
        /// Where to write them
        #[arg(value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

/// Arguments of `list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Also list deleted records whose text is still there. They have a number in any case
    #[arg(long)]
    pub deleted: bool,
}

/// Arguments of `show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// A number of `list`, `latest`, `all`, `console`, `pmsg` or `ftrace`
    #[arg(default_value = "latest")]
    pub record: String,
    /// Print what lies in the region, byte for byte
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Deleted records whose text is still there can be shown as well
    #[arg(long)]
    pub deleted: bool,
    /// Do not use a pager
    #[arg(long)]
    pub no_pager: bool,
}

/// Arguments of `export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Where to save them; it is made if it is not there
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Save JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Also send each record that was not in DIR yet to the systemd journal
    #[arg(long)]
    pub journal: bool,
    /// Then delete from the region what is in DIR, as `clear` does
    #[arg(long)]
    pub clear: bool,
}

/// Arguments of commands that just report.
#[derive(Args, Debug)]
pub struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `clear`.
#[derive(Args, Debug)]
pub struct ClearArgs {
    /// A number of `list`, or `all`
    pub record: String,
    /// Overwrite text and seal as well
    #[arg(long)]
    pub wipe: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// What to do about retention.
#[derive(Debug, Subcommand)]
pub enum Retention {
    /// Fill the region with a pattern. Everything in it is lost
    #[command(after_help = "\
Unload rust_ramoops first (rmmod rust_ramoops), or a crash overwrites part of the pattern. Then reset the machine in the \
way that matters to you, and run `ramoopsctl retention check`.")]
    Write {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Do it even if there is something in the region
        #[arg(long)]
        force: bool,
    },
    /// Tell how much of the pattern is still there
    Check(JsonArgs),
}

/// Parses a size: decimal, `0x` or octal, with an optional k, M or G, as the module parameters.
fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_suffix('i').unwrap_or(&lower);
    let (number, shift) = match number.strip_suffix(['k', 'm', 'g']) {
        Some(rest) => {
            let shift = match number.as_bytes().last() {
                Some(b'k') => 10,
                Some(b'm') => 20,
                _ => 30,
            };
            (rest, shift)
        }
        None => (lower.as_str(), 0),
    };
    let parsed = match (number.strip_prefix("0x"), number.strip_prefix('0')) {
        (Some(hex), _) => u64::from_str_radix(hex, 16),
        (None, Some(octal)) if !octal.is_empty() => u64::from_str_radix(octal, 8),
        _ => number.parse(),
    };
    parsed
        .ok()
        .and_then(|value: u64| value.checked_mul(1 << shift))
        .ok_or_else(|| "a size is a number such as 4096, 0x1000, 4k or 1M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes() {
        for (text, value) in [
            ("0", 0),
            ("4096", 4096),
            ("0x1000", 4096),
            ("010", 8),
            ("4k", 4096),
            ("4Ki", 4096),
            ("1M", 1 << 20),
            ("0x1G", 1 << 30),
        ] {
            assert_eq!(size(text), Ok(value), "{text}");
        }
        for text in ["", "k", "i", "-1", "4kk", "4096i", "99999999999G", "0x"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
