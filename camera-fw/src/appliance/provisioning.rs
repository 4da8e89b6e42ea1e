//! An identity that was made elsewhere: the file that `camera-fw label --sheet` wrote, on the boot partition.
//!
//! It is taken, whoever the camera was before, and erased once it is kept. What is damaged stays where it is.

use std::io;
use std::path::PathBuf;

use super::boot::Boot;
use super::files;
use super::problems::Problems;
use super::text;
use crate::identity::Identity;

/// On the boot partition; Windows likes to add to names.
const NAMES: [&str; 2] = ["identity", "identity.txt"];

/// What was found there.
pub(super) struct Offered {
    pub(super) identity: Identity,
    paths: Vec<PathBuf>,
}

/// Looks for one. Of two that differ none is taken: nobody knows whose label is on the camera.
pub(super) fn find(boot: &Boot, problems: &mut Problems) -> Option<Offered> {
    let mut offered: Option<Offered> = None;
    for name in NAMES {
        let path = boot.folder().join(name);
        let bytes = match files::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                problems.add(format!("{name} cannot be read ({error}); copy it to the card again"));
                continue;
            }
        };
        match Identity::from_provisioning(&text::decode(&bytes).text) {
            Ok(identity) => match &mut offered {
                None => offered = Some(Offered { identity, paths: vec![path] }),
                Some(first) if first.identity == identity => first.paths.push(path),
                Some(_) => {
                    problems.add(format!("{} are two identities; leave the one whose label is on this camera", NAMES.join(" and ")));
                    return None;
                }
            },
            Err(problem) => problems.add(format!(
                "{name} is damaged ({problem}); copy it to the card again from the folder that `camera-fw label --sheet` made"
            )),
        }
    }
    offered
}

impl Offered {
    /// Erases the files, now that the identity is kept.
    pub(super) fn taken(&self, boot: &Boot, problems: &mut Problems) {
        if let Err(error) = boot.write(|_| self.paths.iter().try_for_each(|path| files::erase(path))) {
            let names: Vec<_> = self.paths.iter().filter_map(|path| path.file_name()?.to_str()).collect();
            problems.add(format!(
                "{} was taken, but the boot partition cannot be written ({error}); remove it from the card yourself: whoever \
                 reads it can pose as this camera",
                names.join(" and ")
            ));
        }
    }
}
