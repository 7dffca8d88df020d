//! Which addresses are on the public internet. The tables are IANA's registries of special-purpose addresses, as of 2025:
//! <https://www.iana.org/assignments/iana-ipv4-special-registry> and
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>. Blocks that IANA calls globally reachable are left out,
//! but for those whose traffic ends up in another network than their address says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const fn v4(a: u8, b: u8, c: u8, length: u32) -> (Ipv4Addr, u32) {
    (Ipv4Addr::new(a, b, c, 0), length)
}

const fn v6(a: u16, b: u16, length: u32) -> (Ipv6Addr, u32) {
    (Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 15] = [
    v4(0, 0, 0, 8),       // this network (RFC 791)
    v4(10, 0, 0, 8),      // private (RFC 1918)
    v4(100, 64, 0, 10),   // shared, carrier-grade NAT (RFC 6598)
    v4(127, 0, 0, 8),     // loopback (RFC 1122)
    v4(169, 254, 0, 16),  // link-local, metadata services of clouds (RFC 3927)
    v4(172, 16, 0, 12),   // private (RFC 1918)
    v4(192, 0, 0, 24),    // protocol assignments (RFC 6890)
    v4(192, 0, 2, 24),    // documentation (RFC 5737)
    v4(192, 88, 99, 24),  // relays of 6to4, withdrawn (RFC 7526)
    v4(192, 168, 0, 16),  // private (RFC 1918)
    v4(198, 18, 0, 15),   // benchmarks (RFC 2544)
    v4(198, 51, 100, 24), // documentation (RFC 5737)
    v4(203, 0, 113, 24),  // documentation (RFC 5737)
    v4(224, 0, 0, 4),     // multicast (RFC 5771)
    v4(240, 0, 0, 4),     // reserved, and broadcast (RFC 1112, RFC 919)
];

/// All unicast addresses that are assigned so far (RFC 4291). Loopback, unique local, link-local, site-local, multicast,
/// and IPv4 addresses in older spellings are outside.
const GLOBAL_V6: (Ipv6Addr, u32) = v6(0x2000, 0, 3);

const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 4] = [
    v6(0x2001, 0, 23),     // protocol assignments, Teredo among them (RFC 2928, RFC 4380)
    v6(0x2001, 0xdb8, 32), // documentation (RFC 3849)
    v6(0x2002, 0, 16),     // 6to4: holds an IPv4 address (RFC 3056)
    v6(0x3fff, 0, 20),     // documentation (RFC 9637)
];

/// What NAT64 makes of an IPv4 address (RFC 6052). Its other block, 64:ff9b:1::/48, is for local use (RFC 8215).
const NAT64: (Ipv6Addr, u32) = v6(0x64, 0xff9b, 96);

/// Whether an address is reached by the public internet and by nothing nearer.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !NOT_PUBLIC_V4.iter().any(|block| v4_within(ip, *block)),
        IpAddr::V6(ip) if v6_within(ip, NAT64) => {
            let [.., a, b, c, d] = ip.octets();
            is_public(Ipv4Addr::new(a, b, c, d).into())
        }
        IpAddr::V6(ip) => v6_within(ip, GLOBAL_V6) && !NOT_PUBLIC_V6.iter().any(|block| v6_within(ip, *block)),
    }
}

fn v4_within(ip: Ipv4Addr, (block, length): (Ipv4Addr, u32)) -> bool {
    (ip.to_bits() ^ block.to_bits()) >> (32 - length) == 0
}

fn v6_within(ip: Ipv6Addr, (block, length): (Ipv6Addr, u32)) -> bool {
    (ip.to_bits() ^ block.to_bits()) >> (128 - length) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First and last address of each block, and its neighbours on both sides where these are public.
    #[test]
    fn blocks_end_where_the_registries_say() {
        for (first, last, before, after) in [
            ("0.0.0.0", "0.255.255.255", None, Some("1.0.0.0")),
            ("10.0.0.0", "10.255.255.255", Some("9.255.255.255"), Some("11.0.0.0")),
            (
                "100.64.0.0",
                "100.127.255.255",
                Some("100.63.255.255"),
                Some("100.128.0.0"),
            ),
            (
                "127.0.0.0",
                "127.255.255.255",
                Some("126.255.255.255"),
                Some("128.0.0.0"),
            ),
            (
                "169.254.0.0",
                "169.254.255.255",
                Some("169.253.255.255"),
                Some("169.255.0.0"),
            ),
            (
                "172.16.0.0",
                "172.31.255.255",
                Some("172.15.255.255"),
                Some("172.32.0.0"),
            ),
            ("192.0.0.0", "192.0.0.255", Some("191.255.255.255"), Some("192.0.1.0")),
            ("192.0.2.0", "192.0.2.255", Some("192.0.1.255"), Some("192.0.3.0")),
            (
                "192.88.99.0",
                "192.88.99.255",
                Some("192.88.98.255"),
                Some("192.88.100.0"),
            ),
            (
                "192.168.0.0",
                "192.168.255.255",
                Some("192.167.255.255"),
                Some("192.169.0.0"),
            ),
            (
                "198.18.0.0",
                "198.19.255.255",
                Some("198.17.255.255"),
                Some("198.20.0.0"),
            ),
            (
                "198.51.100.0",
                "198.51.100.255",
                Some("198.51.99.255"),
                Some("198.51.101.0"),
            ),
            (
                "203.0.113.0",
                "203.0.113.255",
                Some("203.0.112.255"),
                Some("203.0.114.0"),
            ),
            ("224.0.0.0", "255.255.255.255", Some("223.255.255.255"), None),
            (
                "::",
                "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff",
                None,
                Some("64:ff9b::101:101"),
            ),
            (
                "64:ff9b::a00:0",
                "64:ff9b::aff:ffff",
                Some("64:ff9b::9ff:ffff"),
                Some("64:ff9b::b00:0"),
            ),
            (
                "64:ff9b::f000:0",
                "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                Some("64:ff9b::dfff:ffff"),
                Some("2000::"),
            ),
            (
                "2001::",
                "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
                Some("2000:ffff::"),
                Some("2001:200::"),
            ),
            (
                "2001:db8::",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                Some("2001:db7:ffff::"),
                Some("2001:db9::"),
            ),
            (
                "2002::",
                "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                Some("2001:ffff::"),
                Some("2003::"),
            ),
            (
                "3fff::",
                "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
                Some("3ffe:ffff::"),
                Some("3fff:1000::"),
            ),
            (
                "4000::",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                Some("3fff:ffff::"),
                None,
            ),
        ] {
            for inside in [first, last] {
                assert!(!is_public(inside.parse().unwrap()), "{inside}");
            }
            for outside in before.into_iter().chain(after) {
                assert!(is_public(outside.parse().unwrap()), "{outside}");
            }
        }
    }

    #[test]
    fn addresses_that_hold_a_private_one_are_not_public() {
        for ip in [
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::808:808",
            "64:ff9b:1:ffff::1.1.1.1",
            "2002:a9fe:a9fe::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "::1",
            "100::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "1.1.1.1",
            "::ffff:1.1.1.1",
            "2606:4700::1",
            "2620:4f:8000::1",
            "192.175.48.1",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }
}
