//! Plain HTTP, usually on port 80: everybody is sent on to HTTPS, and nothing else is there.
//!
//! Only to names that the certificate is for: a client that was made to say another in `Host` must not be sent there, and
//! nothing between us and it may keep that for others.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::tls::Certificate;

/// Where HTTPS is when its port need not be said (RFC 9110 §4.2.2).
const HTTPS: u16 = 443;

/// One answer for each connection; not for long, because the port may change; and no riddle for browsers.
const HEADERS: [(HeaderName, &str); 3] =
    [(header::CONNECTION, "close"), (header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];

/// Why there is nowhere to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Astray {
    /// It does not say whom it asks, or what for: 400.
    Unclear,
    /// It asks for somebody else: 421.
    Elsewhere,
}

/// Sends everybody on to this port.
pub(crate) fn router(certificate: Arc<Certificate>, port: u16) -> Router {
    Router::new().fallback(move |request: Request| {
        let answer = answer(destination(&request, port, |name| certificate.is_for(name)));
        async move { answer }
    })
}

/// Where the same is to be had over TLS, if the host of the request is a name of ours.
fn destination(request: &Request, port: u16, is_ours: impl Fn(&str) -> bool) -> Result<HeaderValue, Astray> {
    let authority = authority(request)?;
    // The dot that says that a name is whole (RFC 1034 §3.1) is in no certificate.
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    if !is_ours(bare) {
        return Err(Astray::Elsewhere);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    // `*`, and what is asked of proxies (RFC 9112 §3.2.3), would become part of the host.
    let path = if path.starts_with('/') { path } else { return Err(Astray::Unclear) };
    let port = if port == HTTPS { String::new() } else { format!(":{port}") };
    HeaderValue::try_from(format!("https://{host}{port}{path}")).map_err(|_| Astray::Unclear)
}

/// Whom the request asks: its target, if that says so (RFC 9112 §3.2.2), else its one `Host`.
fn authority(request: &Request) -> Result<Authority, Astray> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).map_err(|_| Astray::Unclear)?,
        _ => return Err(Astray::Unclear),
    };
    let asked = request.uri().authority().cloned().unwrap_or(host);
    if asked.as_str().contains('@') { Err(Astray::Unclear) } else { Ok(asked) }
}

fn answer(destination: Result<HeaderValue, Astray>) -> Response {
    let (status, text) = match destination {
        Ok(_) => (StatusCode::PERMANENT_REDIRECT, "This server speaks HTTPS.\n"),
        Err(Astray::Unclear) => {
            (StatusCode::BAD_REQUEST, "This server speaks HTTPS, and this does not say where to.\n")
        }
        Err(Astray::Elsewhere) => (StatusCode::MISDIRECTED_REQUEST, "This is not the server of that name.\n"),
    };
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(destination) = destination {
        headers.insert(header::LOCATION, destination);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn sent(target: &str, hosts: &[&str], port: u16) -> Result<String, Astray> {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        let ours = |name: &str| matches!(name, "cam.example.org" | "192.0.2.1" | "2001:db8::1");
        let destination = destination(&request.body(Body::empty()).unwrap(), port, ours)?;
        Ok(destination.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_same_over_tls() {
        for (host, port, base) in [
            ("cam.example.org", 443, "https://cam.example.org"),
            ("cam.example.org:80", 443, "https://cam.example.org"),
            ("CAM.example.org.", 8192, "https://cam.example.org:8192"),
            ("192.0.2.1:8080", 443, "https://192.0.2.1"),
            ("[2001:db8::1]", 443, "https://[2001:db8::1]"),
        ] {
            for path in ["/", "/ws?x=y%20z", "//evil.example/", "/\\evil.example", "/@evil.example"] {
                let Ok(_) = path.parse::<axum::http::Uri>() else { continue };
                assert_eq!(sent(path, &[host], port), Ok(format!("{base}{path}")), "{host}{path}");
            }
        }
        assert_eq!(sent("http://cam.example.org/a", &["evil.example"], 443), Ok("https://cam.example.org/a".into()));
    }

    #[test]
    fn nobody_is_sent_elsewhere() {
        for host in ["evil.example", "cam.example.org.evil.example", "evilcam.example.org", "localhost", "192.0.2.2"] {
            assert_eq!(sent("/", &[host], 443), Err(Astray::Elsewhere), "{host}");
        }
        assert_eq!(sent("http://evil.example/", &["cam.example.org"], 443), Err(Astray::Elsewhere));
    }

    #[test]
    fn what_does_not_say_where_to_stays() {
        assert_eq!(sent("/", &[], 443), Err(Astray::Unclear));
        assert_eq!(sent("/", &["cam.example.org", "cam.example.org"], 443), Err(Astray::Unclear));
        assert_eq!(sent("*", &["cam.example.org"], 443), Err(Astray::Unclear));
        for host in ["", "cam.example.org/", "cam.example.org/@evil", "a@cam.example.org", "cam example.org", "[::1"] {
            assert_eq!(sent("/", &[host], 443), Err(Astray::Unclear), "{host}");
        }
    }
}
