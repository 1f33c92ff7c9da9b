// SPDX-License-Identifier: GPL-2.0

//! Where a region is read from, and written to.

use std::{
    fs::{
        self,
        File,
        OpenOptions, //
    },
    io::{
        self,
        Read,
        Seek,
        SeekFrom,
        Write, //
    },
    os::unix::fs::FileTypeExt,
    path::{
        Path,
        PathBuf, //
    },
};

use anyhow::{
    bail,
    ensure,
    Context,
    Result, //
};

use crate::{
    detect::Place,
    image::Op, //
};

/// More than this is not read at once: a region is megabytes.
const LENGTH_MAX: u64 = 1 << 30;

/// Where the kernel tells about MTD devices.
const MTD_CLASS: &str = "/sys/class/mtd";

/// What the user named.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file; `-` is standard input.
    pub path: PathBuf,
    /// Where in it the region begins.
    pub offset: u64,
    /// The length of the region; up to the end of the file unless given.
    pub length: Option<u64>,
    /// How much of the beginning of the region is not in the file.
    missing: usize,
}

impl Source {
    /// Makes one. Without a path it is the MTD device that is backed by RAM, if there is just one.
    ///
    /// # Errors
    ///
    /// If no device was named and there is not just one.
    pub fn new(path: Option<PathBuf>, offset: u64, length: Option<u64>) -> Result<Self> {
        let path = match path {
            Some(path) => path,
            None => default_device()?,
        };
        Ok(Self {
            path,
            offset,
            length,
            missing: 0,
        })
    }

    /// Notes where in what was read the region turned out to be.
    pub fn narrow(&mut self, place: &Place) {
        self.offset += place.offset as u64;
        self.length = Some(place.len as u64);
        self.missing = place.missing;
    }

    /// Returns how to call it in messages.
    pub fn name(&self) -> String {
        match self.is_stdin() {
            true => "standard input".to_owned(),
            false => self.path.display().to_string(),
        }
    }

    fn is_stdin(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    /// Reads the region.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is shorter than said, or is too large to be a region.
    pub fn read(&self) -> Result<Vec<u8>> {
        let name = self.name();
        if self.is_stdin() {
            let mut stdin = io::stdin().lock();
            let skipped = io::copy(&mut (&mut stdin).take(self.offset), &mut io::sink())?;
            ensure!(
                skipped == self.offset,
                "{name} ends before --offset {:#x}.",
                self.offset
            );
            return read(&mut stdin, 0, self.length, &name);
        }
        let mut file = File::open(&self.path).with_context(|| format!("cannot open {name}"))?;
        let size = self.size(&mut file)?;
        if let Some(size) = size {
            ensure!(
                self.offset <= size,
                "{name} has {size:#x} bytes; --offset {:#x} is beyond its end.",
                self.offset
            );
        }
        file.seek(SeekFrom::Start(self.offset))
            .with_context(|| format!("cannot seek in {name}"))?;
        let rest = size.map_or(0, |size| size - self.offset);
        read(&mut file, rest, self.length, &name)
    }

    /// Returns the size of the file, if it has one.
    fn size(&self, file: &mut File) -> Result<Option<u64>> {
        let name = self.name();
        let kind = file.metadata()?.file_type();
        if kind.is_char_device() {
            if let Some(mtd) = Mtd::of(&self.path) {
                return Ok(Some(mtd.size()?));
            }
            ensure!(
                self.length.is_some(),
                "{name} has no end: say where the region lies with --offset and --length."
            );
            return Ok(None);
        }
        if kind.is_fifo() || kind.is_socket() {
            bail!("{name} is a pipe: use `--file -` and redirect standard input.");
        }
        if kind.is_dir() {
            bail!("{name} is a directory; --file wants an image or a device.");
        }
        Ok(Some(file.seek(SeekFrom::End(0))?))
    }

    /// Opens it for writing.
    ///
    /// # Errors
    ///
    /// If it is neither a file nor an MTD device in RAM. Flash has to be erased before it is written,
    /// and /dev/mem is no place to be wrong about.
    pub fn open_target(&self) -> Result<Target> {
        let name = self.name();
        ensure!(
            !self.is_stdin(),
            "standard input cannot be written; use --file."
        );
        ensure!(
            self.missing == 0,
            "the beginning of the region is not in {name}, so nothing was changed."
        );
        let kind = fs::metadata(&self.path)
            .with_context(|| format!("cannot open {name}"))?
            .file_type();
        let mtd = Mtd::of(&self.path).filter(|_| kind.is_char_device());
        match &mtd {
            Some(mtd) => {
                let kind = mtd.attribute("type")?;
                ensure!(
                    kind == "ram",
                    "{name} is {kind}, not RAM, and flash cannot simply be overwritten. \
                     To erase all of it: flash_erase {name} 0 0"
                );
            }
            None => ensure!(
                kind.is_file(),
                "{name} is neither an image file nor an MTD device; only these are written."
            ),
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .with_context(|| format!("cannot open {name} for writing"))?;
        Ok(Target {
            file,
            name,
            offset: self.offset,
            is_mtd: mtd.is_some(),
        })
    }
}

fn read(from: &mut impl Read, expected: u64, length: Option<u64>, name: &str) -> Result<Vec<u8>> {
    let most = length.unwrap_or(LENGTH_MAX);
    ensure!(
        most <= LENGTH_MAX && (length.is_some() || expected <= LENGTH_MAX),
        "{name} is larger than 1 GiB: say where the region lies with --offset and --length."
    );
    let mut bytes = Vec::new();
    // One allocation, of the size that it will have.
    bytes.reserve_exact(expected.min(most) as usize);
    from.take(most + u64::from(length.is_none()))
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {name}"))?;
    let len = bytes.len() as u64;
    ensure!(
        length.is_some() || len <= most,
        "{name} is larger than 1 GiB: say where the region lies with --offset and --length."
    );
    if let Some(length) = length {
        ensure!(
            len == length,
            "{name} ends {:#x} bytes before the end of the region that --length {length:#x} says.",
            length - len
        );
    }
    ensure!(len > 0, "{name} is empty.");
    Ok(bytes)
}

/// Where a region is written.
#[derive(Debug)]
pub struct Target {
    file: File,
    name: String,
    offset: u64,
    is_mtd: bool,
}

impl Target {
    /// Writes bytes at an offset in the region.
    ///
    /// # Errors
    ///
    /// If the device refuses it.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.file
            .seek(SeekFrom::Start(self.offset + offset as u64))
            .and_then(|_| self.file.write_all(bytes))
            .with_context(|| format!("cannot write {} at {offset:#x}", self.name))
    }

    /// Whether it is a device, that is memory in which somebody else may store records.
    pub fn is_mtd(&self) -> bool {
        self.is_mtd
    }

    /// Whether these bytes are still there.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn still_holds(&mut self, offset: usize, bytes: &[u8]) -> Result<bool> {
        let mut now = vec![0; bytes.len()];
        self.file
            .seek(SeekFrom::Start(self.offset + offset as u64))
            .and_then(|_| self.file.read_exact(&mut now))
            .with_context(|| format!("cannot read {} at {offset:#x}", self.name))?;
        Ok(now == bytes)
    }

    /// Waits until what was written is there.
    ///
    /// # Errors
    ///
    /// If it does not get there.
    pub fn sync(&mut self) -> Result<()> {
        // An MTD device in RAM is written when `write` returns, and knows no `fsync`.
        match self.file.sync_data() {
            Err(_) if self.is_mtd => Ok(()),
            result => result.with_context(|| format!("cannot write {}", self.name)),
        }
    }

    /// Does what was done to a [`crate::image::Scratch`].
    ///
    /// # Errors
    ///
    /// As those of [`Self::write`].
    pub fn apply(&mut self, ops: &[Op]) -> Result<()> {
        for op in ops {
            match op {
                Op::Write(offset, bytes) => self.write(*offset, bytes)?,
                Op::Barrier => self.sync()?,
            }
        }
        self.sync()
    }
}

/// An MTD device, by its name in sysfs.
struct Mtd(String);

impl Mtd {
    /// Returns the MTD device that a path below /dev names.
    fn of(path: &Path) -> Option<Self> {
        let path = path.canonicalize().ok()?;
        let name = path.strip_prefix("/dev").ok()?.to_str()?;
        let number = name.strip_prefix("mtd")?;
        let number = number.strip_suffix("ro").unwrap_or(number);
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Self(format!("mtd{number}")))
    }

    fn attribute(&self, name: &str) -> Result<String> {
        let path = Path::new(MTD_CLASS).join(&self.0).join(name);
        let value =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(value.trim().to_owned())
    }

    fn size(&self) -> Result<u64> {
        let size = self.attribute("size")?;
        size.parse()
            .with_context(|| format!("{}: strange size {size}", self.0))
    }
}

/// Returns the only MTD device that is RAM.
fn default_device() -> Result<PathBuf> {
    let entries = fs::read_dir(MTD_CLASS).into_iter().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.ends_with("ro"))
        .filter(|name| {
            Mtd(name.clone())
                .attribute("type")
                .is_ok_and(|kind| kind == "ram")
        })
        .collect();
    names.sort();
    match names.as_slice() {
        [name] => Ok(Path::new("/dev").join(name)),
        [] => bail!(
            "there is no MTD device in RAM. Load rust_phram, or name an image with --file IMAGE."
        ),
        names => bail!(
            "there are several MTD devices in RAM ({}). Choose one: --file /dev/{}",
            names.join(", "),
            names[0]
        ),
    }
}
