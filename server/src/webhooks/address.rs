//! Which addresses may be called: those of the public internet, and those that the operator names.
//!
//! IPv4 is everything but the special ranges of [RFC 6890](https://www.rfc-editor.org/rfc/rfc6890) and its successors in
//! the [IANA registry](https://www.iana.org/assignments/iana-ipv4-special-registry). IPv6 is the global unicast range
//! `2000::/3` alone, without what lies in it for other purposes: what leads to an IPv4 address by a detour (NAT64, 6to4,
//! Teredo, IPv4-compatible) is refused whatever that address is, and an IPv4-mapped one is judged as the IPv4 that it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::{Network, Webhooks};

/// IPv4 ranges that are refused: network, bits.
const REFUSED_V4: [([u8; 4], u32); 17] = [
    ([0, 0, 0, 0], 8),        // this network, unspecified
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // carrier-grade NAT; Alibaba's metadata
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // Azure's metadata, in a range that is public otherwise
    ([169, 254, 0, 0], 16),   // link-local; most clouds' metadata
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments; Oracle's metadata
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 31, 196, 0], 24),  // AS112
    ([192, 52, 193, 0], 24),  // AMT
    ([192, 88, 99, 0], 24),   // 6to4 relays
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 3),      // multicast, reserved, broadcast
];

/// IPv6 ranges inside of `2000::/3` that are refused.
const REFUSED_V6: [([u16; 3], u32); 5] = [
    ([0x2001, 0, 0], 23),           // protocol assignments: Teredo, ORCHID, benchmarks
    ([0x2001, 0x0db8, 0], 32),      // documentation
    ([0x2002, 0, 0], 16),           // 6to4
    ([0x2620, 0x004f, 0x8000], 48), // AS112
    ([0x3fff, 0, 0], 20),           // documentation
];

/// The operator's rules.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Whether `http` will do.
    pub(crate) allow_http: bool,
    allowed: Vec<Network>,
}

impl Rules {
    pub(crate) fn new(config: &Webhooks) -> Self {
        Self { allow_http: config.allow_http, allowed: config.allowed_networks.clone() }
    }

    /// Whether an address may be called.
    pub(crate) fn permit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|network| network.0.contains(&address))
            || match address {
                IpAddr::V4(address) => is_public_v4(address),
                IpAddr::V6(address) => is_public_v6(address),
            }
    }

    /// Whether the operator has named any network: then names of inner networks make sense.
    pub(crate) fn reaches_inward(&self) -> bool {
        !self.allowed.is_empty()
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !REFUSED_V4.iter().any(|(network, len)| (bits ^ u32::from_be_bytes(*network)) >> (32 - len) == 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    let is_in = |[a, b, c]: [u16; 3], len: u32| {
        let network = Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_bits();
        (bits ^ network) >> (128 - len) == 0
    };
    is_in([0x2000, 0, 0], 3) && !REFUSED_V6.iter().any(|(network, len)| is_in(*network, *len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allowed: &[&str]) -> Rules {
        let allowed_networks = allowed.iter().map(|text| Network::try_from((*text).to_owned()).unwrap()).collect();
        Rules::new(&Webhooks { allowed_networks, ..Webhooks::default() })
    }

    const REFUSED: &str = "
        0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255 127.0.0.0
        127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254 169.254.255.255 172.16.0.0 172.31.255.255
        192.0.0.0 192.0.0.192 192.0.0.255 192.0.2.0 192.0.2.255 192.31.196.1 192.52.193.1 192.88.99.0
        192.88.99.255 192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.0 198.51.100.255
        203.0.113.0 203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255 :: ::1 ::2 ::7f00:1
        ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::7f00:1
        64:ff9b::808:808 64:ff9b:1::1 100::1 100:0:0:1::1 2001::1 2001:0:7f00:1:: 2001:10::1 2001:20::1
        2001:1ff:ffff:: 2001:db8::1 2002::1 2002:7f00:1::1 2002:808:808::1 2620:4f:8000::1 3fff::1
        3fff:fff:ffff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fdff:ffff::1 fe80::1 fe80::a9fe:a9fe febf::1
        fec0::1 ff00::1 ff02::1 ffff:ffff::1 1fff:ffff::1
    ";

    const PUBLIC: &str = "
        1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
        168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255
        192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 ::ffff:8.8.8.8
        2001:200::1 2001:4860:4860::8888 2003::1 2606:4700::1111 2a00:1450::1 3ffe::1
    ";

    #[test]
    fn both_ends_of_every_refused_range_are_refused_and_what_lies_beside_them_is_not() {
        let rules = rules(&[]);
        for text in REFUSED.split_ascii_whitespace() {
            assert!(!rules.permit(text.parse().unwrap()), "{text}");
        }
        for text in PUBLIC.split_ascii_whitespace() {
            assert!(rules.permit(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_the_operator_names_is_allowed_and_nothing_beside_it() {
        let rules = rules(&["127.0.0.0/8", "10.1.0.0/16", "fd00::/8"]);
        for text in ["127.0.0.1", "::ffff:127.0.0.1", "10.1.255.255", "fd12::1", "8.8.8.8"] {
            assert!(rules.permit(text.parse().unwrap()), "{text}");
        }
        for text in ["::1", "10.2.0.0", "10.0.255.255", "169.254.169.254", "fc00::1", "64:ff9b::7f00:1"] {
            assert!(!rules.permit(text.parse().unwrap()), "{text}");
        }
    }
}
