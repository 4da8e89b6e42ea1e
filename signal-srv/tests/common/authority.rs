//! A certificate authority of our own: Debian's `pebble`, with a DNS server that knows every name to be this machine.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{tls, within};

/// Whose address the certificate of the authority's own server is for.
const HOST: &str = "127.0.0.1";

/// Where an authority will be, and how to know it.
#[derive(Debug)]
pub struct Site {
    dir: PathBuf,
    port: u16,
    /// Who vouches for it, PEM.
    pub ca: PathBuf,
}

/// It runs until it is dropped.
#[derive(Debug)]
pub struct Authority {
    pebble: Child,
    dns: Child,
    management: u16,
    ca: PathBuf,
    dir: PathBuf,
}

impl Site {
    pub fn new(dir: &Path) -> Self {
        let dir = dir.join("authority");
        std::fs::create_dir(&dir).unwrap();
        let own = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
        let ca = dir.join("ca.pem");
        std::fs::write(&ca, own.cert.pem()).unwrap();
        std::fs::write(dir.join("key.pem"), own.signing_key.serialize_pem()).unwrap();
        Self { port: free_port(), ca, dir }
    }

    /// Where the server that orders finds it.
    pub fn directory(&self) -> String {
        format!("https://{HOST}:{}/dir", self.port)
    }

    /// Begins its work: whoever wants a certificate has to prove itself on this port of this machine.
    pub async fn open(&self, port: u16, validity: Duration) -> Authority {
        let (management, dns_port, dns_management) = (free_port(), free_port(), free_port());
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("{HOST}:{}", self.port),
            "managementListenAddress": format!("{HOST}:{management}"),
            "certificate": &self.ca,
            "privateKey": self.dir.join("key.pem"),
            "httpPort": port,
            "tlsPort": port,
            "certificateValidityPeriod": validity.as_secs(),
        }});
        let config_file = self.dir.join("pebble.json");
        std::fs::write(&config_file, config.to_string()).unwrap();
        let dns_address = format!("{HOST}:{dns_port}");
        let none = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
        let mut dns = Command::new("pebble-challtestsrv");
        // What newer versions do besides, on a port that all of them share.
        let help = Command::new("pebble-challtestsrv").arg("-help").output();
        if help.is_ok_and(|help| String::from_utf8_lossy(&help.stderr).contains("-doh ")) {
            dns.args(["-doh", ""]);
        }
        dns.args(none).args(["-dns01", &dns_address, "-management", &format!("{HOST}:{dns_management}")]);
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(&config_file).args(["-dnsserver", &dns_address]);
        // Some requests fail by chance, as they do on the internet.
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0").env("PEBBLE_WFE_NONCEREJECT", "3");
        let authority = Authority {
            dns: start(dns),
            pebble: start(pebble),
            management,
            ca: self.ca.clone(),
            dir: self.dir.clone(),
        };
        for port in [dns_port, self.port, management] {
            reachable(port).await;
        }
        authority
    }
}

impl Authority {
    /// The root of what it issues, as a client trusts it. With each start there is another.
    pub async fn root(&self) -> PathBuf {
        let stream = TcpStream::connect((HOST, self.management)).await.unwrap();
        let mut stream = tls::connect(&tls::trusting(&self.ca), HOST, stream).await.unwrap();
        stream.write_all(b"GET /roots/0 HTTP/1.0\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        let path = self.dir.join("root.pem");
        std::fs::write(&path, answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        path
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for child in [&mut self.pebble, &mut self.dns] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn start(mut command: Command) -> Child {
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    started.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; Debian's package pebble has it, and `cargo xtask test` installs that")
    })
}

/// One that nobody has at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port()
}

async fn reachable(port: u16) {
    within(async {
        while TcpStream::connect((HOST, port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
