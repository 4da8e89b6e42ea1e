//! Makes the label that was asked for, and says what is likely not meant so.

use tokio_tungstenite::tungstenite::http::Uri;

use super::fonts::Fonts;
use super::layout::{self, Label};
use super::{LabelError, Options, Report, Target, page, render, sheet};
use crate::config::{Config, Name, Protocol};
use crate::identity::Identity;
use crate::private_file;

/// Writes the label of this camera, or a sheet of labels with fresh identities.
///
/// # Errors
/// If the label cannot be drawn or written. Nothing half-written is left behind, and a sheet replaces nothing.
pub fn write(options: &Options, config: &Config) -> Result<Report, LabelError> {
    let name = options.name.as_ref().unwrap_or(&config.name);
    let (summary, left_out) = match options.sheet {
        Some(count) => sheet::write(&options.out, name, count, &config.page_url)?,
        None => single(&options.out, name, config)?,
    };
    let mut warnings = warnings(config);
    if !left_out.is_empty() {
        warnings.push(format!("no font here has the letters {left_out}, so the name is printed without them"));
    }
    Ok(Report { summary, warnings })
}

fn single(target: &Target, name: &Name, config: &Config) -> Result<(String, String), LabelError> {
    let identity = Identity::load_or_create(&config.state_dir)?;
    let (fonts, drawable) = Fonts::covering(&name.to_string())?;
    let label = Label::new(identity.code(), &config.page_url, drawable.name);
    let tree = fonts.outline(&layout::single(&label, &fonts)?)?;
    private_file::replace(&target.path, &render::one(&tree, target.format)?, None)
        .map_err(LabelError::write(&target.path))?;
    let summary = format!(
        "{} is this camera's label, {}. Print it in its own size (100 %), then delete the file: who holds the code can watch.\n",
        target.path.display(),
        page::SIZE
    );
    Ok((summary, drawable.left_out))
}

fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_this_machine(&config.page_url) {
        warnings.push(format!(
            "the link leads to {}, which a phone takes for itself; set page_url (or --server) to the name by which \
             phones reach the page, and make the label again",
            config.page_url
        ));
    }
    if config.protocol == Protocol::Pair {
        warnings.push("this camera is in pair mode, and the page behind the link does not speak it".into());
    }
    warnings
}

/// Whether a URL leads every machine to itself.
fn is_this_machine(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default().trim_matches(['[', ']', '.']).to_ascii_lowercase();
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost"
        || host.ends_with(".localhost")
        || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_on_every_machine_itself_is_recognised() {
        for url in [
            "https://localhost:8192/",
            "https://LOCALHOST/",
            "http://127.0.0.1/x",
            "https://[::1]:1/",
            "https://a.localhost/",
            "https://0.0.0.0/",
            "https://localhost./",
        ] {
            assert!(is_this_machine(url), "{url}");
        }
        for url in [
            "https://cam.example.org/",
            "https://192.168.1.2:8192/",
            "https://localhost.example.org/",
            "https://[fe80::1]/",
        ] {
            assert!(!is_this_machine(url), "{url}");
        }
    }
}
