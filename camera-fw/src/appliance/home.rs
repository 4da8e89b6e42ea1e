//! Where the camera's identity lives: on the data partition, or in RAM where that cannot be used.
//!
//! The folder belongs to the agent's user, so everything in it is done as that user: root would follow where somebody
//! who broke into the agent leads it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::{Gid, Uid, User, getegid, geteuid, setegid, seteuid};

use super::boot::Boot;
use super::problems::Problems;
use super::provisioning::Offered;
use super::{ApplianceError, entropy, files};
use crate::identity::{self, Identity, IdentityError};
use crate::private_file;

/// In the data partition.
const LASTING: &str = "camera";
/// In the run folder.
const PASSING: &str = "state";

const FOLDER: u32 = 0o700;

/// Whom the agent runs as; nobody else than we ourselves, unless we are root.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner(Option<(Uid, Gid)>);

impl Owner {
    pub(super) fn of(user: Option<&str>) -> Result<Self, ApplianceError> {
        let Some(name) = user.filter(|_| geteuid().is_root()) else { return Ok(Self(None)) };
        match User::from_name(name) {
            Ok(Some(user)) => Ok(Self(Some((user.uid, user.gid)))),
            _ => Err(ApplianceError::User(name.to_owned())),
        }
    }

    /// Whoever owns a folder.
    pub(super) fn of_folder(folder: &Path) -> Self {
        let ids = |metadata: fs::Metadata| (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
        Self(fs::metadata(folder).ok().filter(|_| geteuid().is_root()).map(ids))
    }

    pub(super) fn group(self) -> Option<u32> {
        self.0.map(|(_, group)| group.as_raw())
    }

    /// Does something as that user.
    pub(super) fn act<T>(self, work: impl FnOnce() -> T) -> io::Result<T> {
        let Some((user, group)) = self.0 else { return Ok(work()) };
        let before = (geteuid(), getegid());
        setegid(group)?;
        let outcome = seteuid(user).map(|()| work());
        seteuid(before.0)?;
        setegid(before.1)?;
        Ok(outcome?)
    }

    /// Lets the agent write to something of the hardware. What comes of it the agent says.
    pub(super) fn share(self, device: &Path) {
        let Some(group) = self.group() else { return };
        let mode = fs::Permissions::from_mode(0o660);
        if let Err(error) = chown(device, None, Some(group)).and_then(|()| fs::set_permissions(device, mode)) {
            tracing::warn!(%error, device = %device.display(), "the agent may not be able to use it");
        }
    }

    /// A folder of that user alone, in one that is root's.
    fn folder(self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(FOLDER).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if let Some((user, group)) = self.0
            && (metadata.uid(), metadata.gid()) != (user.as_raw(), group.as_raw())
        {
            chown(path, Some(user.as_raw()), Some(group.as_raw()))?;
        }
        Ok(())
    }
}

/// The camera's state folder, with an identity in it.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) folder: PathBuf,
    /// It is the same after the next start.
    pub(super) lasts: bool,
}

/// Why an identity cannot be kept where it should be, and what helps.
struct Trouble {
    what: String,
    remedy: &'static str,
}

const NEW_CARD: &str = "flash the card anew, or take another one";

impl Home {
    /// Makes sure that there is an identity, the offered one if there is one.
    pub(super) fn prepare(
        (boot, data, run): (&Boot, &Path, &Path),
        offered: Option<&Offered>,
        owner: Owner,
        root: &Path,
        problems: &mut Problems,
    ) -> Result<Self, ApplianceError> {
        let folder = data.join(LASTING);
        let kept = if is_partition(boot.folder()) && !keeps(data) {
            Err(Trouble { what: "the data partition is missing or damaged".into(), remedy: NEW_CARD })
        } else {
            settle(&folder, offered, owner, root)
        };
        let Trouble { what, remedy } = match kept {
            Ok(()) => {
                if let Some(offered) = offered {
                    offered.taken(boot, problems);
                }
                return Ok(Self { folder, lasts: true });
            }
            Err(trouble) => trouble,
        };
        // The card holds it still: it is there at the next start too.
        let lasts = offered.is_some();
        problems.add(if lasts {
            format!("{what}; the identity stays in its file on the boot partition meanwhile. To mend it, {remedy}")
        } else {
            format!("{what}, so this camera has another code after every start. To mend it, {remedy}")
        });
        let folder = run.join(PASSING);
        let settled = settle(&folder, offered, owner, root);
        settled.map_err(|trouble| ApplianceError::write(&folder)(io::Error::other(trouble.what)))?;
        Ok(Self { folder, lasts })
    }
}

/// Puts the identity into its folder, where it is not there yet.
fn settle(folder: &Path, offered: Option<&Offered>, owner: Owner, root: &Path) -> Result<(), Trouble> {
    let refused = |error: io::Error| Trouble {
        what: format!("the data partition cannot be written ({error})"),
        remedy: NEW_CARD,
    };
    // On a partition that cannot be written it may be there all the same.
    owner.folder(folder).or_else(|error| if folder.is_dir() { Ok(()) } else { Err(error) }).map_err(refused)?;
    owner.act(|| sweep(folder)).map_err(refused)?;
    let present = owner.act(|| Identity::load(folder)).map_err(refused)?;
    match (present, offered) {
        (Ok(present), Some(offered)) if present == offered.identity => Ok(()),
        (Ok(_), None) => Ok(()),
        (present, Some(offered)) => {
            if present.is_ok() {
                tracing::warn!("the identity is replaced by that of the provisioning file: the old code is dead");
            }
            let (path, content) = (folder.join(identity::FILE), offered.identity.to_file());
            owner.act(|| private_file::replace(&path, content.as_bytes(), None)).flatten().map_err(refused)
        }
        (Err(IdentityError::State { source, .. }), None) if source.kind() == io::ErrorKind::NotFound => {
            entropy::gather(root);
            match owner.act(|| Identity::load_or_create(folder)).map_err(refused)? {
                Err(IdentityError::State { source, .. }) => Err(refused(source)),
                made => made.map(drop).map_err(damaged),
            }
        }
        (Err(error), None) => Err(damaged(error)),
    }
}

/// Never replaced by itself: printed labels depend on it.
fn damaged(error: IdentityError) -> Trouble {
    let problem = match error {
        IdentityError::State { source, .. } => format!("cannot be read ({source})"),
        IdentityError::Damaged { problem, .. } => format!("is damaged ({problem})"),
        other => format!("cannot be read ({other})"),
    };
    Trouble {
        what: format!("the identity on the data partition {problem}"),
        remedy: "put this camera's provisioning file on the boot partition, or, if there is none, an empty file \
                 roomcam-reset: the label is waste then",
    }
}

/// What a power cut left behind of identities that nobody has seen.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&format!(".{}.", identity::FILE))) {
            let _ = files::erase(&entry.path()).or_else(|_| fs::remove_file(entry.path()));
        }
    }
}

/// Whether something is mounted there. A plain folder in the place of the boot partition is no appliance but a trial, in
/// which the data folder is plain too.
fn is_partition(folder: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    device(folder) != device(&folder.join(".."))
}

/// Whether it holds something when the power comes back.
fn keeps(folder: &Path) -> bool {
    is_partition(folder) && statfs(folder).is_ok_and(|system| system.filesystem_type() != TMPFS_MAGIC)
}
