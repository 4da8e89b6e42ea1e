//! STUN and TURN servers that browsers take.

use serde::{Deserialize, Serialize};
use signal_proto::IceServer;

/// One that a browser takes: W3C WebRTC §4.4.1.6 has it throw on any other.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "IceServer", into = "IceServer")]
pub(super) struct UsableIceServer(pub(super) IceServer);

impl TryFrom<IceServer> for UsableIceServer {
    type Error = &'static str;

    fn try_from(server: IceServer) -> Result<Self, &'static str> {
        if server.urls.is_empty() {
            return Err("urls is empty");
        }
        for url in &server.urls {
            let (is_turn, rest) = match url.split_once(':') {
                Some(("stun" | "stuns", rest)) => (false, rest),
                Some(("turn" | "turns", rest)) => (true, rest),
                _ => return Err("a URL in urls must begin with stun:, stuns:, turn: or turns:"),
            };
            let address = match rest.split_once('?') {
                None => rest,
                Some((address, "transport=udp" | "transport=tcp")) if is_turn => address,
                Some(_) => {
                    return Err(
                        "a URL in urls may end in ?transport=udp or ?transport=tcp, and only for turn: or turns:",
                    );
                }
            };
            if !is_host_and_port(address) {
                return Err("a URL in urls is written like stun:host, turn:host:3478 or turn:[2001:db8::1]:3478");
            }
            if is_turn && (server.username.is_none() || server.credential.is_none()) {
                return Err("a TURN server needs username and credential");
            }
        }
        Ok(Self(server))
    }
}

/// `host`, `host:port`, with an IPv6 address in brackets (RFC 7064 §3.1, RFC 7065 §3.1).
fn is_host_and_port(address: &str) -> bool {
    let (host_is_good, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host.parse::<std::net::Ipv6Addr>().is_ok(), rest),
        None => {
            let (host, port) = address.split_at(address.find(':').unwrap_or(address.len()));
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            (!host.is_empty() && host.bytes().all(is_good), port)
        }
    };
    let port_is_good =
        |port: &str| port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    host_is_good && (port.is_empty() || port_is_good(port))
}

impl From<UsableIceServer> for IceServer {
    fn from(server: UsableIceServer) -> Self {
        server.0
    }
}
