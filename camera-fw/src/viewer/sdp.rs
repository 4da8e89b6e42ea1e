//! Session descriptions as text: what the crate's own handling of them leaves to us. Pure.
//!
//! A description is a session part and media sections, each from an `m=` line to the next (RFC 8866 §5).

/// The offer as seen by one who only sends: its live video sections receive. `None` if none of them wants to.
///
/// A client that offers its own picture as well (`sendrecv`, or no direction, which means the same: RFC 8866 §6.7) may
/// be answered `sendonly` (RFC 3264 §6.1). The crate pairs a sending track with sections that only receive, so the
/// offer is shown to it as such.
pub(super) fn receiving(offer: &str) -> Option<String> {
    let mut wanted = false;
    let seen = map_sections(offer, |section| {
        let direction = direction(section);
        if !is_live(section, "video") || !matches!(direction, None | Some("sendrecv" | "recvonly")) {
            return section.iter().map(|line| (*line).to_owned()).collect();
        }
        wanted = true;
        let others = section.iter().filter(|line| !is_direction(line)).map(|line| (*line).to_owned());
        others.chain(["a=recvonly".to_owned()]).collect()
    });
    wanted.then_some(seen)
}

/// The candidate without the address behind the one it names (`raddr`, RFC 8839 §5.1): that of a server-reflexive
/// candidate is this machine's private one, and nothing needs it.
pub(super) fn without_related_address(candidate: &str) -> String {
    let mut words: Vec<&str> = candidate.split(' ').collect();
    for index in 1..words.len() {
        match words[index - 1] {
            "raddr" => words[index] = if words[index].contains(':') { "::" } else { "0.0.0.0" },
            "rport" => words[index] = "0",
            _ => {}
        }
    }
    words.join(" ")
}

/// The answer with its rejected sections (port 0) made explicit: `inactive`, and with the transport of the first live
/// section, which some clients read before they see that the section is rejected.
pub(super) fn explicit(answer: &str) -> String {
    const TRANSPORT: [&str; 4] = ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:"];
    let find = |name: &str| answer.lines().find(|line| line.starts_with(name)).map(str::to_owned);
    let transport: Vec<String> = TRANSPORT.iter().filter_map(|name| find(name)).collect();
    map_sections(answer, |section| {
        let mut lines: Vec<String> = section.iter().map(|line| (*line).to_owned()).collect();
        if is_rejected(section) {
            if direction(section).is_none() {
                lines.push("a=inactive".to_owned());
            }
            let missing = |line: &&String| !lines.iter().any(|have| have.split(':').next() == line.split(':').next());
            let missing: Vec<String> = transport.iter().filter(missing).cloned().collect();
            lines.extend(missing);
        }
        lines
    })
}

/// The id that a description gives to a header extension (RFC 8285 §5): `a=extmap:ID[/direction] URI`.
pub(super) fn extension_id(sdp: &str, uri: &str) -> Option<u8> {
    sdp.lines().find_map(|line| {
        let (id, rest) = line.strip_prefix("a=extmap:")?.split_once(' ')?;
        let id = id.split('/').next()?.parse().ok()?;
        // Ids above 14 need two-byte headers, which nobody gives to an extension this small.
        (rest.split(' ').next()? == uri && (1..=14).contains(&id)).then_some(id)
    })
}

/// Puts every media section, as its lines, through `change`; the session part stays.
fn map_sections(sdp: &str, mut change: impl FnMut(&[&str]) -> Vec<String>) -> String {
    let lines: Vec<&str> = sdp.lines().collect();
    let begin = lines.iter().position(|line| line.starts_with("m=")).unwrap_or(lines.len());
    let mut out: Vec<String> = lines[..begin].iter().map(|line| (*line).to_owned()).collect();
    for section in lines[begin..].chunk_by(|_, next| !next.starts_with("m=")) {
        out.extend(change(section));
    }
    out.into_iter().map(|line| line + "\r\n").collect()
}

/// `m=<media> <port> …`: of this kind, and not rejected.
fn is_live(section: &[&str], media: &str) -> bool {
    let kind = section[0].strip_prefix("m=").and_then(|line| line.split(' ').next());
    kind == Some(media) && !is_rejected(section)
}

/// Port 0, unless the section shares the transport of another (`bundle-only`, RFC 9143 §6).
fn is_rejected(section: &[&str]) -> bool {
    section[0].split(' ').nth(1) == Some("0") && !section.contains(&"a=bundle-only")
}

fn direction<'a>(section: &[&'a str]) -> Option<&'a str> {
    section.iter().find(|line| is_direction(line)).map(|line| &line[2..])
}

fn is_direction(line: &str) -> bool {
    ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"].contains(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(direction: &str) -> String {
        format!(
            "v=0\r\na=group:BUNDLE 0 1\r\nm=audio 9 X 111\r\na=sendrecv\r\nm=video 9 X 96\r\n{direction}a=mid:1\r\n"
        )
    }

    #[test]
    fn a_candidate_keeps_the_private_address_behind_it_to_itself() {
        let reflexive = "candidate:1 1 udp 16 203.0.113.5 40000 typ srflx raddr 192.168.1.20 rport 50000";
        let clean = "candidate:1 1 udp 16 203.0.113.5 40000 typ srflx raddr 0.0.0.0 rport 0";
        assert_eq!(without_related_address(reflexive), clean);
        let six = without_related_address("candidate:1 1 udp 16 2001:db8::1 4 typ srflx raddr fd00::7 rport 5 ufrag x");
        assert_eq!(six, "candidate:1 1 udp 16 2001:db8::1 4 typ srflx raddr :: rport 0 ufrag x");
        for other in ["candidate:1 1 udp 21 192.0.2.1 5 typ host", "", "raddr"] {
            assert_eq!(without_related_address(other), other);
        }
    }

    #[test]
    fn an_offer_with_a_picture_of_its_own_is_seen_as_receiving() {
        for direction in ["a=sendrecv\r\n", "a=recvonly\r\n", ""] {
            let seen = receiving(&offer(direction)).unwrap();
            assert_eq!(seen, offer("").replace("a=mid:1\r\n", "a=mid:1\r\na=recvonly\r\n"), "{direction}");
        }
    }

    #[test]
    fn an_offer_that_wants_no_picture_is_told_apart() {
        assert!(receiving(&offer("a=sendonly\r\n")).is_none());
        assert!(receiving(&offer("a=inactive\r\n")).is_none());
        assert!(receiving("v=0\r\nm=application 9 X\r\n").is_none());
        assert!(receiving("v=0\r\nm=video 0 X 96\r\n").is_none());
        assert!(receiving("m=video 0 X 96\r\na=bundle-only\r\n").is_some());
        assert!(receiving("").is_none());
    }

    #[test]
    fn a_rejected_section_says_so_in_every_way() {
        let live =
            "m=video 9 X 96\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:f\r\na=setup:active\r\na=sendonly\r\n";
        let answer = format!("v=0\r\nm=audio 0 X 0\r\na=mid:0\r\n{live}");
        let transport = "a=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:f\r\na=setup:active\r\n";
        let expected = format!("v=0\r\nm=audio 0 X 0\r\na=mid:0\r\na=inactive\r\n{transport}{live}");
        assert_eq!(explicit(&answer), expected);
        assert_eq!(explicit(&expected), expected, "nothing is said twice");
    }

    #[test]
    fn an_extension_is_found_by_its_name() {
        const URI: &str = "http://example.org/extension";
        let sdp = format!("v=0\r\na=extmap:3 urn:x\r\na=extmap:5/sendonly {URI}\r\n");
        assert_eq!(extension_id(&sdp, URI), Some(5));
        assert_eq!(extension_id("v=0\r\na=extmap:3 urn:x\r\n", URI), None);
        assert_eq!(extension_id(&format!("a=extmap:99 {URI}"), URI), None);
        assert_eq!(extension_id(&format!("a=extmap:x {URI}"), URI), None);
    }
}
