//! The network addresses of this machine, asked of the kernel over a netlink socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// Numbers of `linux/netlink.h` and `linux/rtnetlink.h`.
const GET_ADDRESSES: u16 = 22;
const NEW_ADDRESS: u16 = 20;
const REQUEST_DUMP: u16 = 0x301;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const ATTRIBUTE_ADDRESS: u16 = 1;
const ATTRIBUTE_LOCAL: u16 = 2;
const HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ATTRIBUTE_HEADER: usize = 4;

/// Interface name and address, in the kernel's order.
pub(crate) fn of_this_machine() -> io::Result<Vec<(String, IpAddr)>> {
    // No protocol means the routing protocol.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let mut request = Vec::with_capacity(HEADER + ADDRESS_HEADER);
    request.extend_from_slice(&24_u32.to_ne_bytes());
    request.extend_from_slice(&GET_ADDRESSES.to_ne_bytes());
    request.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    request.resize(HEADER + ADDRESS_HEADER, 0);
    send(&socket, &request, SendFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        let (length, _) = recv(&socket, &mut buffer, RecvFlags::empty())?;
        let mut rest = &buffer[..length];
        while let Some((kind, body, next)) = next_message(rest) {
            match kind {
                DONE => return Ok(found),
                ERROR => return Err(io::Error::other("the kernel refused to list addresses")),
                NEW_ADDRESS => {
                    if let Some((index, address)) = address(body) {
                        let name = rustix::net::netdevice::index_to_name(&socket, index);
                        found.push((name.unwrap_or_else(|_| index.to_string()), address));
                    }
                }
                _ => {}
            }
            rest = next;
        }
    }
}

/// Kind and body of the first message, and what follows.
fn next_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(HEADER..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// Interface index and address. The local address of a point-to-point link is ours, the other one is its peer's.
fn address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let index = u32::from_ne_bytes(body.get(4..8)?.try_into().ok()?);
    let (mut local, mut plain) = (None, None);
    let mut rest = body.get(ADDRESS_HEADER..)?;
    while let Some(header) = rest.get(..ATTRIBUTE_HEADER) {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        match u16::from_ne_bytes([header[2], header[3]]) {
            ATTRIBUTE_LOCAL => local = ip(value),
            ATTRIBUTE_ADDRESS => plain = ip(value),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((index, local.or(plain)?))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(value)
        .ok()
        .map(|octets| Ipv6Addr::from(octets).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_our_addresses() {
        let addresses = of_this_machine().unwrap();
        assert!(
            addresses.contains(&("lo".to_owned(), Ipv4Addr::LOCALHOST.into())),
            "{addresses:?}"
        );
    }

    #[test]
    fn broken_messages_end_the_reading() {
        assert!(next_message(&[1, 2, 3]).is_none());
        assert!(next_message(&[255; 16]).is_none());
        assert_eq!(address(&[0; 8]), None);
        assert_eq!(address(&[0; 12]), None);
    }
}
