//! Who a connection is counted as, and how that is found out behind proxies.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// More hops than any path has; what is further left is not looked at.
const HOPS: usize = 16;

/// Somebody's share of the internet: an IPv4 address, or the /64 of an IPv6 one, which is what one subscriber gets
/// (RFC 6177 §2). It does not show itself: addresses reach no log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client(u128);

impl Client {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() >> 64 << 64),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client(…)")
    }
}

/// The networks of proxies whose `X-Forwarded-For` is believed. Anybody else's is ignored: everybody can write one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Loopback.
    pub(crate) fn on_this_machine() -> Self {
        let v4 = IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8);
        let v6 = IpNet::new_assert(IpAddr::V6(Ipv6Addr::LOCALHOST), 128);
        Self(vec![v4, v6])
    }

    /// Whether what connects from there is a proxy and no client.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who asks: the peer of the TCP connection, or if that is a proxy the address that it was connected from, and so on
    /// from right to left as far as proxies of ours go.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let mut client = peer;
        let lines: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        for hop in hops.take(HOPS) {
            if !self.trust(client) {
                break;
            }
            // What is no address was not written by a proxy of ours.
            let Some(before) = address(hop.trim()) else { break };
            client = before;
        }
        Client::of(client)
    }
}

/// `192.0.2.1`, `2001:db8::1`, and what some proxies make of them: `192.0.2.1:1234`, `[2001:db8::1]:1234`.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    text.parse().ok().or_else(with_port).or_else(bracketed)
}

impl TryFrom<Vec<String>> for Proxies {
    type Error = String;

    fn try_from(networks: Vec<String>) -> Result<Self, String> {
        let network = |text: &String| {
            let single = || text.parse::<IpAddr>().map(IpNet::from).ok();
            text.parse().ok().or_else(single).ok_or_else(|| {
                format!("trusted_proxies has addresses and networks, such as 127.0.0.1 or 10.0.0.0/8, not {text:?}")
            })
        };
        networks.iter().map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Proxies> for Vec<String> {
    fn from(proxies: Proxies) -> Self {
        proxies.0.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn proxies(networks: &[&str]) -> Proxies {
        Proxies::try_from(networks.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    fn client(proxies: &Proxies, peer: &str, lines: &[&'static str]) -> Client {
        let lines = lines.iter().map(|line| (FORWARDED_FOR, HeaderValue::from_static(line)));
        proxies.client(peer.parse().unwrap(), &HeaderMap::from_iter(lines.take(1)))
    }

    fn of(address: &str) -> Client {
        Client::of(address.parse().unwrap())
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_an_ipv4_address_is() {
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_eq!(format!("{:?}", of("192.0.2.1")), "Client(…)");
    }

    #[test]
    fn only_proxies_of_ours_are_believed() {
        let none = Proxies::default();
        assert_eq!(client(&none, "192.0.2.1", &["198.51.100.7"]), of("192.0.2.1"));
        let ours = proxies(&["10.0.0.0/8", "2001:db8::5"]);
        assert_eq!(client(&ours, "192.0.2.1", &["198.51.100.7"]), of("192.0.2.1"));
        assert_eq!(client(&ours, "10.1.2.3", &["198.51.100.7"]), of("198.51.100.7"));
        assert_eq!(client(&ours, "::ffff:10.1.2.3", &["198.51.100.7:4711"]), of("198.51.100.7"));
        assert_eq!(client(&ours, "2001:db8::5", &["[2001:db8:9::1]"]), of("2001:db8:9::1"));
        assert_eq!(client(&ours, "10.1.2.3", &[]), of("10.1.2.3"));
    }

    #[test]
    fn what_the_client_itself_wrote_is_further_left_and_not_looked_at() {
        let ours = proxies(&["10.0.0.0/8"]);
        assert_eq!(client(&ours, "10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.0.0.2"]), of("198.51.100.7"));
        assert_eq!(client(&ours, "10.0.0.1", &["203.0.113.9, rubbish, 10.0.0.2"]), of("10.0.0.2"));
        assert_eq!(client(&ours, "10.0.0.1", &["10.0.0.4,10.0.0.3"]), of("10.0.0.4"));
        let many = "10.0.0.9,".repeat(1000) + "10.0.0.9";
        let headers = HeaderMap::from_iter([(FORWARDED_FOR, HeaderValue::from_str(&many).unwrap())]);
        assert_eq!(ours.client("10.0.0.1".parse().unwrap(), &headers), of("10.0.0.9"));
    }

    #[test]
    fn several_header_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, HeaderValue::from_static("203.0.113.9"));
        headers.append(FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
        assert_eq!(proxies(&["10.0.0.1"]).client("10.0.0.1".parse().unwrap(), &headers), of("198.51.100.7"));
    }

    #[test]
    fn what_is_no_network_is_named() {
        let error = Proxies::try_from(vec!["10.0.0.0/33".to_owned()]).unwrap_err();
        assert!(error.contains("\"10.0.0.0/33\""), "{error}");
    }
}
