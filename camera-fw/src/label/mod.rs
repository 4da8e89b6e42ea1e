//! The printed label: what a person sees first of a camera, and all that they need to watch it.
//!
//! ```text
//!   identity ─▶ code, link ─▶ layout (SVG, millimetres) ─▶ fonts (texts become outlines) ─▶ render ─▶ .svg .pdf .png
//!      │                              └─ on an appliance: device (outlines of the embedded fonts alone) ─▶ .svg
//!      └─ with --sheet N fresh ones, each in a folder of its own beside the labels ─▶ files of their owner alone
//! ```
//!
//! Whoever reads a label can watch, so its file is its owner's alone, like the identity. What makes PDFs and knows every
//! script is left out without the feature `label`, as on an appliance, which draws no label but its own.

use std::path::PathBuf;
use std::str::FromStr;

#[cfg(not(feature = "label"))]
use crate::config::Config;
use crate::config::Name;
use crate::identity::IdentityError;

#[cfg(feature = "appliance")]
mod device;
#[cfg(feature = "label")]
mod fonts;
#[cfg(any(feature = "label", feature = "appliance"))]
mod layout;
#[cfg(any(feature = "label", feature = "appliance"))]
mod letters;
#[cfg(feature = "label")]
mod make;
#[cfg(feature = "label")]
mod page;
#[cfg(any(feature = "label", feature = "appliance"))]
mod qr;
#[cfg(feature = "label")]
mod render;
#[cfg(feature = "label")]
mod sheet;

#[cfg(feature = "appliance")]
pub(crate) use device::{mark, svg};
#[cfg(feature = "label")]
pub use make::write;

/// The arguments of `camera-fw label`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where to write it: a file that ends in .pdf, .svg or .png
    #[arg(long, value_name = "FILE")]
    pub out: Target,
    /// What the label calls the camera; on a sheet a number follows [default: the configuration's name]
    #[arg(long)]
    pub name: Option<Name>,
    /// Make N fresh identities and their labels, for cameras that are yet to be set up
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub sheet: Option<u16>,
}

/// The file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    path: PathBuf,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Svg,
    Png,
    Pdf,
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = PathBuf::from(text);
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let format = match extension.to_ascii_lowercase().as_str() {
            "svg" => Format::Svg,
            "png" => Format::Png,
            "pdf" => Format::Pdf,
            _ => return Err("its name must end in .pdf, .svg or .png, which says what it becomes"),
        };
        Ok(Self { path, format })
    }
}

/// No label was written.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The program cannot draw.
    #[error("this camera-fw was built without labels (the cargo feature `label`); `camera-fw code` prints the code")]
    BuiltWithout,
    /// Only PDF has pages.
    #[error("{0} labels take more than one page, which only a PDF has; let the name end in .pdf")]
    Pages(u16),
    /// No font has the name's letters.
    #[error("no font here has the letters {0}; install one that does, or choose another --name")]
    Letters(String),
    /// The link has no room.
    #[error("the link is too long to be printed as a QR code that phones can read; choose a shorter page_url")]
    Link,
    /// A sheet never takes the place of something: it may be all that is left of other identities.
    #[error("{} is there already, and may hold what is needed still; choose another name with --out", .0.display())]
    Exists(PathBuf),
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The camera has no identity that can be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A fault of this program.
    #[error("the label cannot be drawn: {0}")]
    Drawing(String),
}

impl LabelError {
    /// Whether other arguments would do.
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::BuiltWithout | Self::Pages(_))
    }

    #[cfg(feature = "label")]
    fn drawing(problem: &str) -> Self {
        Self::Drawing(problem.to_owned())
    }

    #[cfg(feature = "label")]
    fn write(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was written, and what to do with it.
    pub summary: String,
    /// What is likely not meant so, a line each.
    pub warnings: Vec<String>,
}

/// Says that this program cannot.
///
/// # Errors
/// Always.
#[cfg(not(feature = "label"))]
pub fn write(_: &Options, _: &Config) -> Result<Report, LabelError> {
    Err(LabelError::BuiltWithout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_says_what_it_becomes() {
        let format = |name: &str| name.parse::<Target>().map(|target| target.format);
        assert_eq!(format("a/label.svg"), Ok(Format::Svg));
        assert_eq!(format("LABEL.PNG"), Ok(Format::Png));
        assert_eq!(format("living room.v2.pdf"), Ok(Format::Pdf));
        for unknown in ["label", "label.jpg", ".pdf", "pdf", "", "label.pdf.gz"] {
            let problem = format(unknown).unwrap_err();
            assert!([".pdf", ".svg", ".png"].iter().all(|known| problem.contains(known)), "{unknown}");
        }
    }
}
