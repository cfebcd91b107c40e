//! Small disks of a test's own: files with a file system in them, mounted.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::sledge_process::PATIENCE;
use crate::tool;

/// A mounted image. Dropped, it is unmounted.
#[derive(Debug)]
pub(crate) struct Mounted {
    place: PathBuf,
}

impl Mounted {
    /// Mounts the image in a folder, which is made; what a file system does after a power cut, it does now.
    ///
    /// # Errors
    /// What mount says.
    pub(crate) fn of(image: &Path, place: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(place).unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(place))?;
        Ok(Self { place: place.to_owned() })
    }

    pub(crate) fn place(&self) -> &Path {
        &self.place
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A process that was just killed may hold it for a moment.
        let begun = Instant::now();
        while let Err(error) = run(Command::new("umount").arg(&self.place)) {
            if begun.elapsed() > PATIENCE {
                println!("{} is still in use: {error}", self.place.display());
                drop(run(Command::new("umount").arg("--lazy").arg(&self.place)));
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Makes an ext4 of this size in a file that takes only what is written to it.
pub(crate) fn make_ext4(image: &Path, bytes: u64) {
    File::create(image).unwrap().set_len(bytes).unwrap();
    // Without room that only root may use: who runs the tests does not matter then.
    run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(image)).unwrap();
}

/// Room for images, in memory where the system offers that.
pub(crate) fn folder_for_images() -> TempDir {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("sledge-disks-");
    if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }.unwrap()
}

/// Whether this machine lets us mount a file. Where it does not, that is said, in continuous integration too: not every
/// container has loop devices, and then there is nothing to install.
pub(crate) fn can_mount() -> bool {
    if !tool::is_there("mkfs.ext4", &["-V"]) {
        return false;
    }
    let folder = folder_for_images();
    let image = folder.path().join("probe.img");
    make_ext4(&image, 4 << 20);
    match Mounted::of(&image, &folder.path().join("probe")) {
        Ok(_) => true,
        Err(error) => {
            tool::say_skipped(&format!("no file can be mounted here: {error}"));
            false
        }
    }
}

/// A file system of a fixed size: an ext4 where files can be mounted, else one in memory.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    // Unmounted before its folder goes.
    mounted: Mounted,
    _folder: TempDir,
}

impl SmallDisk {
    /// A disk of this size mounted in `place`; `None`, said aloud, where nothing can be mounted.
    pub(crate) fn mount(bytes: u64, place: &Path) -> Option<Self> {
        let folder = folder_for_images();
        if can_mount() {
            let image = folder.path().join("small.img");
            make_ext4(&image, bytes);
            return Some(Self { mounted: Mounted::of(&image, place).unwrap(), _folder: folder });
        }
        std::fs::create_dir_all(place).unwrap();
        let size = format!("size={bytes}");
        match run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(place)) {
            Ok(()) => Some(Self { mounted: Mounted { place: place.to_owned() }, _folder: folder }),
            Err(error) => {
                tool::say_skipped(&format!("no disk of a fixed size can be had here: {error}"));
                None
            }
        }
    }

    pub(crate) fn place(&self) -> &Path {
        self.mounted.place()
    }
}

/// A file system on which a file is copied at an instant, however large it is and whoever is writing to it.
#[derive(Debug)]
pub(crate) struct Shelf {
    // Unmounted before its folder goes.
    mounted: Mounted,
    _folder: TempDir,
}

const SHELF_BYTES: u64 = 2 << 30;

impl Shelf {
    /// A shelf; `None`, said aloud, where there can be none.
    pub(crate) fn set_up() -> Option<Self> {
        if !can_mount() || !tool::is_there("mkfs.xfs", &["-V"]) {
            return None;
        }
        let folder = folder_for_images();
        let image = folder.path().join("shelf.img");
        File::create(&image).unwrap().set_len(SHELF_BYTES).unwrap();
        run(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&image)).unwrap();
        match Mounted::of(&image, &folder.path().join("shelf")) {
            Ok(mounted) => Some(Self { mounted, _folder: folder }),
            Err(error) => {
                tool::say_skipped(&format!("no XFS can be mounted here: {error}"));
                None
            }
        }
    }

    pub(crate) fn image(&self, name: &str) -> PathBuf {
        self.mounted.place().join(name)
    }

    /// Copies an image as it is at one instant of this call.
    pub(crate) fn copy(&self, image: &Path, name: &str) -> PathBuf {
        let copy = self.image(name);
        run(Command::new("cp").arg("--reflink=always").arg(image).arg(&copy)).unwrap();
        copy
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = || format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(said()) }
}
