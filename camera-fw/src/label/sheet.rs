//! Labels for cameras that are yet to be set up, and the identities that make them these cameras.

use std::io;
use std::path::Path;

use super::fonts::Fonts;
use super::layout::Label;
use super::page::{self, PER_PAGE};
use super::render::{self, Document};
use super::{Format, LabelError, Name, Target};
use crate::identity::{self, Identity};
use crate::private_file::{Temporary, create_folder};

/// Writes so many labels, and the identities into the folder of the same name; says so, and which letters of the name
/// no font had.
pub(super) fn write(target: &Target, name: &Name, count: u16, page_url: &str) -> Result<(String, String), LabelError> {
    if usize::from(count) > PER_PAGE && target.format != Format::Pdf {
        return Err(LabelError::Pages(count));
    }
    let folder = target.path.with_extension("");
    for path in [&folder, &target.path] {
        // Also a link that leads nowhere is something.
        if path.symlink_metadata().is_ok() {
            return Err(LabelError::Exists(path.clone()));
        }
    }
    let (fonts, drawable) = Fonts::covering(&name.to_string())?;
    let cameras = Temporary::folder(&folder).map_err(LabelError::write(&folder))?;
    let mut labels = Vec::new();
    for number in 1..=count {
        let number = numbered(number, count);
        let identity = Identity::random();
        store(&identity, &cameras.path().join(format!("camera-{number}"))).map_err(LabelError::write(&folder))?;
        labels.push(Label::new(identity.code(), page_url, format!("{} {number}", drawable.name)));
    }
    let drawn = draw(&labels, &fonts, target.format)?;
    let file = Temporary::file(&target.path, &drawn, None).map_err(LabelError::write(&target.path))?;

    // The folder first: identities without labels can have theirs made again, labels without identities are waste.
    cameras.become_folder(&folder).map_err(refused(&folder))?;
    if let Err(error) = file.become_file(&target.path) {
        // Nobody has seen them yet.
        let _ = std::fs::remove_dir_all(&folder);
        return Err(refused(&target.path)(error));
    }
    Ok((summary(target, &folder, count), drawable.left_out))
}

fn draw(labels: &[Label], fonts: &Fonts, format: Format) -> Result<Vec<u8>, LabelError> {
    let mut pages = labels.chunks(PER_PAGE).map(|labels| fonts.outline(&page::draw(labels, fonts)?));
    if format != Format::Pdf {
        let page = pages.next().unwrap_or_else(|| Err(LabelError::drawing("there is no label")))?;
        return render::one(&page, format);
    }
    let mut document = Document::new();
    for page in pages {
        document.add(&page?)?;
    }
    Ok(document.finish())
}

fn store(identity: &Identity, folder: &Path) -> io::Result<()> {
    create_folder(folder)?;
    identity.store_new(&folder.join(identity::FILE))
}

/// 01, 02, …: as many digits as the last one has, so that files stand in their order.
fn numbered(number: u16, count: u16) -> String {
    format!("{number:0width$}", width = count.to_string().len().max(2))
}

fn refused(path: &Path) -> impl FnOnce(io::Error) -> LabelError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory => {
            LabelError::Exists(path)
        }
        _ => LabelError::Write { path, source },
    }
}

fn summary(target: &Target, folder: &Path, count: u16) -> String {
    let pages = usize::from(count).div_ceil(PER_PAGE);
    let [labels, sheets] = [(usize::from(count), "label"), (pages, "A4 page")]
        .map(|(count, what)| if count == 1 { format!("{count} {what}") } else { format!("{count} {what}s") });
    let first = folder.join(format!("camera-{}", numbered(1, count))).join(identity::FILE);
    format!(
        "{labels} on {sheets} ({}, 2 x 5 a page): {}\nTheir identities: {}/\n\n\
         Print in actual size (100 %). For each camera, copy its file (such as {}) to the drive ROOMCAM of its card, or, \
         if it is none of the cards, to the camera's state folder as `{}`, with mode 0600; before its first start. Stick \
         the label of the same number on it.\n\
         Then delete both: who holds a code can watch, who holds an identity can pose as the camera.\n",
        page::SIZE,
        target.path.display(),
        folder.display(),
        first.display(),
        identity::FILE,
    )
}
