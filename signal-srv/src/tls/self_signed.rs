//! A certificate that the server signs itself: made once, kept, renewed in time.
//!
//! `key.pem` is made once and stays. `cert.pem` is made from it for the names and addresses that the
//! machine has, and made anew, from the same key and under the same subject, when it is about to
//! expire or an address has been added. A client that was given the older file as its trust root
//! (RFC 5280 §6.1.1: a name and a public key) therefore accepts the newer one too.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::ifaddrs::getifaddrs;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SerialNumber};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use tracing::{info, warn};

use super::files::{make_folder, read, read_certificates, read_key, write};
use super::{MADE, TlsError, provider};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Below the 398 days beyond which some clients reject any certificate.
const VALIDITY: Duration = DAY.saturating_mul(397);
/// For clients whose clock is a little behind.
const BACKDATING: Duration = DAY;
/// A certificate that has less left is renewed at the next start.
const RENEWAL: Duration = DAY.saturating_mul(30);

/// What a certificate lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stale {
    Expires,
    Lacks(String),
}

/// Sees to it that `state_dir` holds a current certificate and its key; where they are is the answer.
pub(super) fn prepare(state_dir: &Path) -> Result<(PathBuf, PathBuf), TlsError> {
    let certificate = state_dir.join("cert.pem");
    let key = state_dir.join("key.pem");
    let names = names_of_this_machine()?;
    match (exists(&certificate)?, exists(&key)?) {
        (true, false) => return Err(TlsError::KeyMissing { certificate, key }),
        (true, true) => match check(&certificate, &key, &names, SystemTime::now())? {
            None => return Ok((certificate, key)),
            Some(stale) => {
                make(&certificate, &read_key_pair(&key)?, &names)?;
                let reason = match stale {
                    Stale::Expires => "the old one has expired or is about to".to_owned(),
                    // Which address it is, is not for the log.
                    Stale::Lacks(_) => "this machine has a name or address that the old one lacks".to_owned(),
                };
                info!(certificate = %certificate.display(), reason, "self-signed certificate renewed");
            }
        },
        (false, true) => {
            make(&certificate, &read_key_pair(&key)?, &names)?;
            info!(certificate = %certificate.display(), "self-signed certificate made for the key that was there");
        }
        (false, false) => {
            make_folder(state_dir)?;
            let pair = KeyPair::generate().map_err(TlsError::Make)?;
            write(&key, pair.serialize_pem().as_bytes(), 0o600)?;
            make(&certificate, &pair, &names)?;
            info!(certificate = %certificate.display(), "self-signed certificate made");
        }
    }
    Ok((certificate, key))
}

fn exists(path: &Path) -> Result<bool, TlsError> {
    path.try_exists().map_err(|source| TlsError::Read { what: "file", path: path.to_owned(), source })
}

/// Whether the certificate is good for `names` for a while, and the key for nobody else to read.
fn check(certificate: &Path, key: &Path, names: &[String], now: SystemTime) -> Result<Option<Stale>, TlsError> {
    if fs::metadata(key).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        warn!(key = %key.display(), "others can read the private key; chmod 600 it");
    }
    let unusable = |source| TlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source: Box::new(source),
        advice: MADE,
    };
    // Read for its errors alone.
    read_key(key, MADE)?;
    let chain = read_certificates(certificate, MADE)?;
    let Some(end_entity) = chain.first() else { return Ok(Some(Stale::Expires)) };
    staleness(end_entity, names, now).map_err(unusable)
}

/// Verifies the certificate as a client would that trusts it.
fn staleness(
    certificate: &CertificateDer<'_>,
    names: &[String],
    now: SystemTime,
) -> Result<Option<Stale>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let soon = now + RENEWAL;
    let soon = UnixTime::since_unix_epoch(soon.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    for name in names {
        let Ok(server_name) = ServerName::try_from(name.as_str()) else { continue };
        match verifier.verify_server_cert(certificate, &[], &server_name, &[], soon) {
            Ok(_) => {}
            Err(rustls::Error::InvalidCertificate(error)) => match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => return Ok(Some(Stale::Expires)),
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    return Ok(Some(Stale::Lacks(name.clone())));
                }
                // This machine's clock is behind: no reason to throw away what is good for everybody else.
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => return Ok(None),
                error => return Err(error.into()),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn read_key_pair(path: &Path) -> Result<KeyPair, TlsError> {
    let bytes = read("private key", path)?;
    KeyPair::from_pem(&String::from_utf8_lossy(&bytes)).map_err(TlsError::Make)
}

/// Makes the certificate for `names` and puts it in its place.
fn make(path: &Path, key: &KeyPair, names: &[String]) -> Result<(), TlsError> {
    let certificate = sign(key, names, SystemTime::now()).map_err(TlsError::Make)?;
    write(path, certificate.pem().as_bytes(), 0o644)
}

fn sign(key: &KeyPair, names: &[String], now: SystemTime) -> Result<rcgen::Certificate, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Roomcam signal-srv");
    params.not_before = (now - BACKDATING).into();
    params.not_after = (now + VALIDITY).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Random, for a renewed certificate has the same issuer and must have another number (RFC 5280 §4.1.2.2).
    let mut serial = [0; 16];
    provider().secure_random.fill(&mut serial).map_err(|_| rcgen::Error::RemoteKeyError)?;
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.self_signed(key)
}

/// What clients may call this machine: each is a subject alternative name.
fn names_of_this_machine() -> Result<Vec<String>, TlsError> {
    let mut names = vec!["localhost".to_owned()];
    if let Some(host) = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok())
        && ServerName::try_from(host.as_str()).is_ok()
        && host != "localhost"
    {
        // Multicast DNS (RFC 6762 §3) makes it known in the local network.
        if !host.contains('.') {
            names.push(format!("{host}.local"));
        }
        names.push(host);
    }
    let addresses = getifaddrs().map_err(|errno| TlsError::Addresses(errno.into()))?;
    let mut addresses: Vec<IpAddr> = addresses
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        .filter(|address| is_reachable(*address))
        .chain([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
        .collect();
    addresses.sort();
    addresses.dedup();
    names.extend(addresses.iter().map(IpAddr::to_string));
    Ok(names)
}

/// An address that others may reach this machine under: not loopback, and not link-local IPv6, which
/// browsers cannot open.
fn is_reachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_unspecified(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unspecified() && !address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_fresh_certificate_is_good_for_its_names_until_a_month_before_its_end() {
        let key = KeyPair::generate().unwrap();
        let now = SystemTime::now();
        let certificate = sign(&key, &names(&["localhost", "192.0.2.1", "2001:db8::1"]), now).unwrap();
        let check = |wanted: &[&str], at| staleness(certificate.der(), &names(wanted), at).unwrap();
        assert_eq!(check(&["localhost", "192.0.2.1", "2001:db8::1"], now), None);
        assert_eq!(check(&["localhost", "192.0.2.2"], now), Some(Stale::Lacks("192.0.2.2".into())));
        assert_eq!(check(&["localhost"], now + DAY * 366), None);
        assert_eq!(check(&["localhost"], now + DAY * 368), Some(Stale::Expires));
        assert_eq!(check(&["localhost"], now - DAY * 400), None, "a clock that is behind renews nothing");
    }

    #[test]
    fn who_trusts_the_old_certificate_accepts_the_renewed_one() {
        let key = KeyPair::generate().unwrap();
        let then = SystemTime::now() - DAY * 500;
        let old = sign(&key, &names(&["localhost"]), then).unwrap();
        let new = sign(&key, &names(&["localhost", "192.0.2.1"]), SystemTime::now()).unwrap();
        assert_ne!(old.der(), new.der());

        let mut roots = RootCertStore::empty();
        roots.add(old.der().clone()).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
        let name = ServerName::try_from("192.0.2.1").unwrap();
        verifier.verify_server_cert(new.der(), &[], &name, &[], UnixTime::now()).unwrap();
    }

    #[test]
    fn made_once_kept_and_renewed_only_when_needed() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = dir.path().join("deep/state");
        let (certificate, key) = prepare(&state_dir).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&certificate), mode(&key), mode(&state_dir)), (0o644, 0o600, 0o700));
        let (first, first_key) = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());

        prepare(&state_dir).unwrap();
        assert_eq!(fs::read(&certificate).unwrap(), first, "a good certificate stays");

        let pair = read_key_pair(&key).unwrap();
        let expired = sign(&pair, &names(&["localhost"]), SystemTime::now() - DAY * 500).unwrap();
        fs::write(&certificate, expired.pem()).unwrap();
        prepare(&state_dir).unwrap();
        assert_ne!(fs::read_to_string(&certificate).unwrap(), expired.pem(), "an expired one is renewed");

        make(&certificate, &pair, &names(&["localhost"])).unwrap();
        let lacking = fs::read(&certificate).unwrap();
        prepare(&state_dir).unwrap();
        assert_ne!(fs::read(&certificate).unwrap(), lacking, "one that lacks an address is renewed");

        fs::remove_file(&certificate).unwrap();
        prepare(&state_dir).unwrap();
        assert_eq!(fs::read(&key).unwrap(), first_key, "the key stays");
        assert!(!state_dir.join("cert.pem.new").exists());
    }

    #[test]
    fn damaged_files_are_an_error_that_names_them() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = prepare(dir.path()).unwrap();
        let good = fs::read(&certificate).unwrap();

        fs::write(&certificate, "garbage").unwrap();
        let error = prepare(dir.path()).unwrap_err().to_string();
        assert!(error.contains("cert.pem") && error.contains("remove"), "{error}");

        let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        fs::write(&certificate, torn).unwrap();
        let error = prepare(dir.path()).unwrap_err().to_string();
        assert!(error.contains("cert.pem") && error.contains("remove"), "{error}");

        fs::write(&certificate, &good).unwrap();
        fs::write(&key, "garbage").unwrap();
        let error = prepare(dir.path()).unwrap_err().to_string();
        assert!(error.contains("key.pem") && error.contains("remove"), "{error}");

        fs::remove_file(&key).unwrap();
        let error = prepare(dir.path()).unwrap_err().to_string();
        assert!(error.contains("key.pem") && error.contains("missing"), "{error}");
    }
}
