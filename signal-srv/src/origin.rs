//! Which pages may open a WebSocket here. Browsers say where a page is from (RFC 6455 §10.2), other programs say nothing.
//!
//! A foreign page learns nothing by connecting, since there is no cookie or password that the browser would add; but it
//! could have its visitors do its work here, under their addresses.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use serde::{Deserialize, Serialize};

/// Everywhere.
const ANY: &str = "*";

/// The pages of this server, those of the visitor's own machine, and what the operator adds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Origins(Vec<String>);

impl Origins {
    /// Whether whoever sends these headers may connect.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return true };
        let (Ok(origin), None) = (origin.to_str(), origins.next()) else { return false };
        let origin = origin.to_ascii_lowercase();
        if self.0.iter().any(|allowed| allowed == ANY || *allowed == origin) {
            return true;
        }
        // `null` is a page that does not want to be anywhere.
        let Some((_, authority)) = origin.split_once("://") else { return false };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        host.eq_ignore_ascii_case(authority) || is_loopback(authority)
    }
}

/// `localhost`, `127.0.0.1` and `[::1]`, on whatever port: a person's own machine.
fn is_loopback(authority: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().filter_map(|host| authority.strip_prefix(host)).any(|port| {
        let digits = port.strip_prefix(':').unwrap_or(port);
        port.is_empty() || digits.len() < port.len() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// `https://host`, `http://host:port`: as browsers write it (RFC 6454 §6.2).
fn is_origin(text: &str) -> bool {
    let Some(("http" | "https", authority)) = text.split_once("://") else { return false };
    !authority.is_empty() && !authority.contains(['/', '?', '#', '@', '*', ' '])
}

impl TryFrom<Vec<String>> for Origins {
    type Error = String;

    fn try_from(origins: Vec<String>) -> Result<Self, String> {
        let origin = |text: String| {
            let text = text.to_ascii_lowercase();
            if text == ANY || is_origin(&text) {
                return Ok(text);
            }
            Err(format!("origins has what browsers call one, such as https://view.example.org, or *; not {text:?}"))
        };
        origins.into_iter().map(origin).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Origins> for Vec<String> {
    fn from(origins: Origins) -> Self {
        origins.0
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn admits(allowed: &[&str], origin: &str) -> bool {
        let allowed = Origins::try_from(allowed.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        let headers = [(HOST, HeaderValue::from_static("cam.example.org:8192")), (ORIGIN, origin.parse().unwrap())];
        allowed.admit(&HeaderMap::from_iter(headers))
    }

    #[test]
    fn programs_and_the_server_s_own_page_are_let_in() {
        assert!(Origins::default().admit(&HeaderMap::new()));
        assert!(admits(&[], "https://cam.example.org:8192"));
        assert!(admits(&[], "https://CAM.example.org:8192"));
        for local in ["http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:8080", "https://localhost"] {
            assert!(admits(&[], local), "{local}");
        }
    }

    #[test]
    fn foreign_pages_are_not_whatever_they_are_called() {
        for foreign in [
            "null",
            "",
            "https://evil.example",
            "https://cam.example.org",
            "https://cam.example.org:8193",
            "https://cam.example.org:8192.evil.example",
            "https://evilcam.example.org:8192",
            "https://evil.example?cam.example.org:8192",
            "https://localhost.evil.example",
            "https://127.0.0.1.evil.example",
            "https://localhost@evil.example",
            "https://localhost:80@evil.example",
            "https://[::1].evil.example",
            "https://view.example.org.evil.example",
            "http://view.example.org",
            "https://view.example.org:444",
            "https://a.view.example.org",
            "cam.example.org:8192",
            "file://",
        ] {
            assert!(!admits(&["https://view.example.org"], foreign), "{foreign}");
        }
    }

    #[test]
    fn the_operator_adds_some_or_all() {
        assert!(admits(&["https://view.example.org"], "https://view.example.org"));
        assert!(admits(&["https://View.example.org"], "https://view.example.org"));
        assert!(admits(&["*"], "null"));
        for wrong in ["view.example.org", "https://view.example.org/", "https://*.example.org", "ftp://x", "https://"] {
            let error = Origins::try_from(vec![wrong.to_owned()]).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn two_origins_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(ORIGIN, HeaderValue::from_static("http://localhost"));
        headers.append(ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert!(!Origins::default().admit(&headers));
    }
}
