//! A client's side of TLS.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::within;

/// Trusts `roots` and nothing else.
pub fn trusting(roots: &Path) -> TlsConnector {
    TlsConnector::from(Arc::new(config(roots)))
}

pub fn config(roots: &Path) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(roots).unwrap() {
        store.add(certificate.unwrap()).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth()
}

pub async fn connect(connector: &TlsConnector, name: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    within(connector.connect(ServerName::try_from(name.to_owned()).unwrap(), stream)).await
}

pub async fn handshake(address: SocketAddr, name: &str, roots: &Path) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    connect(&trusting(roots), name, stream).await
}

/// How two connections, one after the other, came to be.
pub async fn kinds_of_two_handshakes(address: SocketAddr, name: &str, roots: &Path) -> [rustls::HandshakeKind; 2] {
    let connector = trusting(roots);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = connect(&connector, name, stream).await.unwrap();
        // The tickets come with the first data.
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        within(stream.read_to_end(&mut Vec::new())).await.unwrap();
        kinds.push(stream.get_ref().1.handshake_kind().unwrap());
    }
    kinds.try_into().unwrap()
}
