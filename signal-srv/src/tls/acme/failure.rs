//! Why an order failed, and what to do about it.

use std::time::Duration;

use rustls_acme::acme::{AcmeError, Auth, Identifier, Problem};
use rustls_acme::{EventError, OrderError};

use super::TlsError;

/// More of what an authority says is not for the log.
const LONGEST: usize = 400;

/// How the crate begins what it says of an answer that is no success; the answer follows, quoted.
const REFUSAL: &str = "non 2xx http status: ";

/// The problem that is none: with another nonce the same request is a good one (RFC 8555 §6.5).
const STALE: &str = "badNonce";

/// Why there is no certificate. The order is tried again in any case.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It did not come to an end.
    #[error("the authority did not finish the order within {0:?}; check the network, and --acme-directory")]
    TooLate(Duration),
    /// The authority cannot be asked.
    #[error("the authority cannot be reached: {0}; check the network, --acme-directory and --acme-ca")]
    Unreachable(String),
    /// A request was not new enough to it, which the crate does not try again.
    #[error("the authority refuses request after request as repeated (badNonce)")]
    Stale,
    /// It does not want to.
    #[error("the authority refuses: {0}")]
    Refused(String),
    /// It does not believe that a domain is ours.
    #[error(
        "the authority does not find this server at {domain}: {reason}. DNS must lead {domain} to this machine, and \
             its port 443 to this server"
    )]
    Unproven {
        /// Which domain.
        domain: String,
        /// What it saw instead.
        reason: String,
    },
    /// Account or certificate cannot be kept.
    #[error(transparent)]
    NotKept(#[from] TlsError),
    /// What came is no good.
    #[error("the certificate that was issued cannot be used: {0}")]
    Unusable(String),
    /// No certificate, and no reason.
    #[error("the order ended without a certificate")]
    Nothing,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<EventError<TlsError, TlsError>> for Failure {
    fn from(error: EventError<TlsError, TlsError>) -> Self {
        match error {
            EventError::AccountCacheLoad(error)
            | EventError::AccountCacheStore(error)
            | EventError::CertCacheLoad(error)
            | EventError::CertCacheStore(error) => Self::NotKept(error),
            EventError::NewCertParse(error) | EventError::CachedCertParse(error) => Self::Unusable(error.to_string()),
            EventError::Order(OrderError::BadAuth(authorization)) => unproven(authorization),
            EventError::Order(OrderError::TooManyAttemptsAuth(domain)) => {
                Self::Unproven { domain, reason: "it has not come to a decision".to_owned() }
            }
            EventError::Order(OrderError::BadOrder(order)) => {
                Self::Refused(order.error.map_or_else(|| "it does not say why".to_owned(), |problem| told(&problem)))
            }
            EventError::Order(OrderError::Acme(error @ (AcmeError::Io(_) | AcmeError::HttpRequest(_)))) => {
                let error = error.to_string();
                match refusal(&error) {
                    Some(refusal) if refusal.starts_with(STALE) => Self::Stale,
                    Some(refusal) => Self::Refused(refusal),
                    None => Self::Unreachable(printable(&error)),
                }
            }
            EventError::Order(error) => Self::Other(printable(&error.to_string())),
        }
    }
}

fn unproven(authorization: Auth) -> Failure {
    let Identifier::Dns(domain) = authorization.identifier;
    let problem = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
    let reason = problem.map_or_else(|| format!("it is {:?}", authorization.status), told);
    Failure::Unproven { domain: printable(&domain), reason }
}

/// What an authority says of a problem (RFC 8555 §6.7).
fn told(problem: &Problem) -> String {
    let kind = problem.typ.as_deref().unwrap_or_default();
    let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
    match &problem.detail {
        Some(detail) => printable(&format!("{kind}: {}", detail.trim_end_matches('.'))),
        None => printable(kind),
    }
}

/// What the authority said when it refused, if that is what this says.
fn refusal(error: &str) -> Option<String> {
    let (_, answer) = error.split_once(REFUSAL)?;
    let (status, quoted) = answer.split_once(' ')?;
    let body = unquoted(quoted);
    let problem: Result<Problem, _> = serde_json::from_str(&body);
    Some(problem.map_or_else(|_| printable(&format!("status {status}, {body}")), |problem| told(&problem)))
}

/// The text that Rust's `{:?}` makes this of.
fn unquoted(quoted: &str) -> String {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(quoted);
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n' | 'r' | 't') => text.push(' '),
                Some(escaped) => text.push(escaped),
                None => {}
            },
            letter => text.push(letter),
        }
    }
    text
}

/// On one line, and not too long.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_authority_says_is_handed_on() {
        let body =
            "{\n  \"type\": \"urn:ietf:params:acme:error:rateLimited\",\n  \"detail\": \"too many \\\"orders\\\".\"\n}";
        let error = format!("http request error: {REFUSAL}429 {body:?}");
        assert_eq!(refusal(&error).unwrap(), "rateLimited: too many \"orders\"");
        assert_eq!(refusal(&format!("{REFUSAL}502 \"<html>\\nBad\"")).unwrap(), "status 502, <html> Bad");
        assert_eq!(refusal("http error: ConnectError"), None);
    }

    #[test]
    fn what_it_says_stays_on_a_line_and_within_bounds() {
        let problem = Problem { typ: None, detail: Some("a\u{1b}[31m\nb".to_owned() + &"c".repeat(5000)) };
        let told = told(&problem);
        assert!(told.starts_with(": a [31m bcc") && told.len() == LONGEST, "{told}");
    }
}
