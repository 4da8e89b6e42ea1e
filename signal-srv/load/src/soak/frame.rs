//! WebSocket frames as they are on the wire (RFC 6455 §5.2), right ones and wrong ones.

/// Kinds of frames, §5.2.
pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const PING: u8 = 0x9;
/// The last of its message.
pub(super) const FIN: u8 = 0x80;

/// What masks a client's frames, §5.3: it protects nobody here.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The head of a client's frame that announces `length` bytes.
pub(super) fn head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..126 => head.push(0x80 | length as u8),
        126..0x1_0000 => {
            head.push(0x80 | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend(MASK);
    head
}

/// A client's frame.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len() as u64);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The same without the mask, which a client must not leave out, §5.1.
pub(super) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, payload.len().min(125) as u8];
    frame.extend(payload.iter().take(125));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_the_three_ways() {
        assert_eq!(head(FIN | BINARY, 5)[..2], [0x82, 0x85]);
        assert_eq!(head(FIN | BINARY, 300)[..4], [0x82, 0xfe, 1, 44]);
        assert_eq!(head(FIN | BINARY, 65_536)[..10], [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]);
        // The example of RFC 6455 §5.7.
        assert_eq!(frame(FIN | TEXT, b"Hello"), [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        assert_eq!(unmasked(FIN | TEXT, b"Hello"), b"\x81\x05Hello");
    }
}
