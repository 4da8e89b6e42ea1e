//! Where the signaling server is.

use std::fmt;
use std::str::FromStr;

use tokio_tungstenite::tungstenite::http::Uri;

/// The port where a URL has none.
const DEFAULT_PORT: u16 = 8192;

/// The WebSocket URL of a signaling server: scheme, host, port and path, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl ServerUrl {
    /// Whether the connection is encrypted (`wss`).
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Host name or address, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Port, 8192 where the URL has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The page that the server delivers.
    pub(super) fn page_url(&self) -> String {
        format!("{}://{}:{}/", if self.tls { "https" } else { "http" }, self.host, self.port)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", if self.tls { "wss" } else { "ws" }, self.host, self.port, self.path)
    }
}

impl FromStr for ServerUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXAMPLE: &str = "a server is written like wss://host:8192";
        if text.contains(['?', '#', '@']) {
            return Err("it must not have a query, a fragment or a user; write it like wss://host:8192");
        }
        let uri: Uri = text.parse().map_err(|_| EXAMPLE)?;
        let tls = match uri.scheme_str() {
            Some("wss") => true,
            Some("ws") => false,
            _ => return Err("it must begin with wss:// (ws:// on this machine only); write it like wss://host:8192"),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(EXAMPLE)?.to_owned();
        let port = match uri.port_u16() {
            Some(port) if port > 0 => port,
            None if uri.authority().is_some_and(|authority| authority.as_str() == host) => DEFAULT_PORT,
            _ => return Err("its port must be 1 to 65535; write it like wss://host:8192"),
        };
        let path = if uri.path() == "/" { String::new() } else { uri.path().to_owned() };
        let url = Self { tls, host, port, path };
        if !tls && !is_loopback(url.host()) {
            return Err("without TLS (ws://) only a server on this machine is possible; use wss://");
        }
        Ok(url)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_urls_are_checked() {
        for good in [
            "ws://127.0.0.1:8192",
            "ws://localhost",
            "ws://[::1]:80/ws",
            "wss://cam.example.org",
            "wss://192.0.2.1:1/x",
        ] {
            assert!(good.parse::<ServerUrl>().is_ok(), "{good}");
        }
        for (bad, advice) in [
            ("", "like wss://host:8192"),
            ("cam.example.org", "begin with wss://"),
            ("https://cam.example.org", "begin with wss://"),
            ("ws://cam.example.org", "use wss://"),
            ("ws://192.168.1.2:8192", "use wss://"),
            ("wss://user@host", "query, a fragment or a user"),
            ("wss://host/?room=1", "query, a fragment or a user"),
            ("wss://host:99999", "1 to 65535"),
            ("wss://host:0", "1 to 65535"),
            ("wss://host:", "1 to 65535"),
            ("wss://", "like wss://host:8192"),
        ] {
            let refusal = bad.parse::<ServerUrl>().unwrap_err();
            assert!(refusal.contains(advice), "{bad}: {refusal}");
        }
        assert_eq!("wss://host/".parse::<ServerUrl>().unwrap().to_string(), "wss://host:8192");
    }
}
