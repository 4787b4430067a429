//! Where a provider that registers itself may say that it answers. The gateway calls what it is told, so what it may be told
//! is narrow: an address of one exact form, in networks or under names that whoever runs the gateway has listed.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The longest address, characters.
const LONGEST: usize = 300;
/// Services of clouds that hand out credentials to whoever asks from inside, and are not link-local.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// `http://host:port/prefix`, in one exact form: what was checked is what is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    secure: bool,
    host: Host,
    port: u16,
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{} {why}", shown(text));
        let form = "is not of the form http://host:port or https://host:port/prefix";
        if text.len() > LONGEST {
            return Err(wrong("is too long for an address"));
        }
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(wrong(form)),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let path = path.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        if !path.bytes().all(plain) || path.split('/').any(|part| part == "." || part == "..") {
            return Err(wrong("has a path with more than letters, digits and -._~ between its slashes"));
        }
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or_else(|| wrong(form))?;
            let ip: Ipv6Addr = host.parse().map_err(|_| wrong("has no IPv6 address in its brackets"))?;
            let port = port.strip_prefix(':').or(port.is_empty().then_some(""));
            (Host::Ip(IpAddr::V6(ip).to_canonical()), port)
        } else {
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            (name_or_ip(host).ok_or_else(|| wrong("has no host name or IP address"))?, Some(port))
        };
        let port = match port.ok_or_else(|| wrong(form))? {
            "" if authority.ends_with(':') => return Err(wrong(form)),
            "" if secure => 443,
            "" => 80,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| wrong("has no port from 1 to 65535"))?,
            _ => return Err(wrong("has no port from 1 to 65535")),
        };
        Ok(Self { secure, host, port, path: path.to_owned() })
    }
}

/// What is no address, as it may be told of it: not what stands where passwords and keys do.
fn shown(text: &str) -> String {
    if text.contains(['@', '?', '#']) {
        return "an address with a user name, a password, a query or a fragment".to_owned();
    }
    format!("`{}`", text.chars().take(LONGEST).collect::<String>())
}

/// A name whose last label is a number would be taken for an IP address by some and for a name by others.
fn name_or_ip(text: &str) -> Option<Host> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Some(Host::Ip(IpAddr::V4(ip)));
    }
    let name = text.to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    (name.len() <= 253 && name.split('.').all(is_label) && !is_number).then_some(Host::Name(name))
}

impl Address {
    /// `https://host:port`: who answers there.
    pub fn origin(&self) -> String {
        Self { path: String::new(), ..self.clone() }.to_string()
    }

    /// The address of a document: one that may end in a slash and may have a query. Gives where it is and its exact text.
    ///
    /// # Errors
    /// As when an address is read; a query with more than what a query is written with.
    pub fn of_document(text: &str) -> Result<(Self, String), String> {
        let (place, query) = text.split_once('?').map_or((text, None), |(place, query)| (place, Some(query)));
        let address: Self = place.parse()?;
        let mut exact = address.to_string();
        if place.ends_with('/') {
            exact.push('/');
        }
        if let Some(query) = query {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~=&%+:/,;@!*".contains(&byte);
            if text.len() > LONGEST || !query.bytes().all(plain) {
                let shown: String = text.chars().take(LONGEST).collect();
                return Err(format!(
                    "`{shown}` has a query that is too long, or has letters that belong escaped"
                ));
            }
            exact.push('?');
            exact.push_str(query);
        }
        Ok((address, exact))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "{scheme}://[{ip}]:{}{}", self.port, self.path),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{scheme}://{ip}:{}{}", self.port, self.path),
            Host::Name(name) => write!(f, "{scheme}://{name}:{}{}", self.port, self.path),
        }
    }
}

/// Whether nothing of anybody's may ever be called there: link-local addresses, where clouds keep the credentials of the
/// machine, other such services, and what is no address of one machine.
pub fn is_never_called(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    if METADATA.contains(&ip) {
        return true;
    }
    match ip {
        IpAddr::V4(ip) => {
            ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.octets().first() == Some(&0)
                || ip.octets().first().is_some_and(|first| *first >= 240)
        }
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || ip.is_multicast()
                || ip.is_unspecified()
                || translated(ip).is_some_and(is_never_called)
        }
    }
}

/// The IPv4 address that a translator (64:ff9b::/96, 2002::/16) leads to.
fn translated(ip: Ipv6Addr) -> Option<IpAddr> {
    let bits = u128::from(ip);
    let of = |shift: u32| {
        let part = u32::try_from((bits >> shift) & u128::from(u32::MAX)).unwrap_or_default();
        IpAddr::V4(Ipv4Addr::from(part))
    };
    if bits >> 32 == 0x64_ff9b << 64 {
        Some(of(0))
    } else if bits >> 112 == 0x2002 {
        Some(of(80))
    } else {
        None
    }
}

/// Addresses that begin alike: `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether the address lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                u32::from(base) & mask == u32::from(ip) & mask
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                u128::from(base) & mask == u128::from(ip) & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no network: write for example 10.0.0.0/8 or fd00::/8");
        let (base, bits) = text.split_once('/').ok_or_else(wrong)?;
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits: u32 = bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?;
        Ok(Self { base, bits })
    }
}

/// Where providers that register themselves may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Networks of addresses that are given as numbers.
    pub networks: Vec<Network>,
    /// Host names; `*.` at the beginning stands for one label or more.
    pub hosts: Vec<String>,
    /// `http://` is taken beyond this machine.
    pub insecure: bool,
}

impl Default for Reach {
    /// This machine and private networks, encrypted beyond this machine.
    fn default() -> Self {
        let networks =
            ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
        Self {
            networks: networks.iter().filter_map(|network| network.parse().ok()).collect(),
            hosts: vec!["localhost".to_owned()],
            insecure: false,
        }
    }
}

impl Reach {
    /// Whether a provider may say that it answers there.
    ///
    /// # Errors
    /// Why not, and what would be needed.
    pub fn check(&self, address: &Address) -> Result<(), String> {
        let is_here = match &address.host {
            Host::Ip(ip) if is_never_called(*ip) => {
                return Err(format!(
                    "nothing is ever called at {ip}: it is link-local, a metadata service, or no machine's"
                ));
            }
            Host::Ip(ip) if !self.networks.iter().any(|network| network.contains(*ip)) => {
                return Err(format!("{ip} lies in none of the networks in `[registration] networks`"));
            }
            Host::Name(name) if !self.hosts.iter().any(|pattern| matches_host(pattern, name)) => {
                return Err(format!("no pattern in `[registration] hosts` is for the host {name}"));
            }
            Host::Ip(ip) => ip.is_loopback(),
            Host::Name(name) => name == "localhost",
        };
        if address.secure || is_here || self.insecure {
            return Ok(());
        }
        Err(format!(
            "{address} is plain http:// beyond this machine; `[registration] insecure = true` would allow it"
        ))
    }
}

fn matches_host(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(zone) => name.strip_suffix(zone).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        text.parse::<Address>().map(|address| address.to_string())
    }

    #[test]
    fn an_address_has_one_form() {
        let cases = [
            ("http://127.0.0.1:7100", "http://127.0.0.1:7100"),
            ("https://Shop.Internal/api/", "https://shop.internal:443/api"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("http://[::ffff:10.0.0.1]", "http://10.0.0.1:80"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "ftp://x",
            "http://",
            "http://user@10.0.0.1",
            "http://10.0.0.1:0",
            "http://10.0.0.1:",
            "http://10.0.0.1:70000",
            "http://10.0.0.1/a?b",
            "http://10.0.0.1/a#b",
            "http://10.0.0.1/../x",
            "http://2130706433",
            "http://0x7f.0x1",
            "http://127.1",
            "http://a..b",
            "http://[::1",
            "http://[::1]x",
            "http://a b",
            "http://10.0.0.1\\@x",
            "http://a/%2e%2e",
            "http://10.0.0.1:+80",
        ] {
            assert!(shown(text).is_err(), "{text}");
        }
        assert!(shown(&format!("http://{}", "a".repeat(400))).is_err());
    }

    #[test]
    fn a_document_may_have_a_query_and_nothing_that_changes_who_is_asked() {
        let shown = |text: &str| Address::of_document(text).map(|(address, exact)| (address.origin(), exact));
        for (text, origin, exact) in [
            ("http://10.0.0.1/api.yaml", "http://10.0.0.1:80", "http://10.0.0.1:80/api.yaml"),
            (
                "https://Shop.internal/v3/api-docs/?group=a&b=%20",
                "https://shop.internal:443",
                "https://shop.internal:443/v3/api-docs/?group=a&b=%20",
            ),
        ] {
            assert_eq!(shown(text), Ok((origin.to_owned(), exact.to_owned())));
        }
        for text in [
            "http://a@10.0.0.1/x",
            "http://10.0.0.1/x#y",
            "http://10.0.0.1/x?a b",
            "http://10.0.0.1/x?a#b",
            "file:///x?y",
            "?x",
        ] {
            assert!(shown(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_listed_is_not_called() {
        let check = |reach: &Reach, text: &str| reach.check(&text.parse().unwrap());
        let usual = Reach::default();
        for text in ["http://127.0.0.1:1", "https://10.1.2.3:1", "http://localhost:1", "https://[fd12::1]:1"]
        {
            assert_eq!(check(&usual, text), Ok(()), "{text}");
        }
        for text in ["https://8.8.8.8", "http://10.1.2.3:1", "https://shop.internal", "https://[2001:db8::1]"]
        {
            assert!(check(&usual, text).is_err(), "{text}");
        }
        let open = Reach {
            networks: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
            hosts: vec!["*.shop.internal".to_owned()],
            insecure: true,
        };
        for text in ["http://8.8.8.8", "http://a.shop.internal", "http://a.b.shop.internal"] {
            assert_eq!(check(&open, text), Ok(()), "{text}");
        }
        for text in [
            "http://169.254.169.254",
            "http://[fe80::1]",
            "http://[fd00:ec2::254]",
            "http://[::ffff:169.254.169.254]",
            "http://[64:ff9b::a9fe:a9fe]",
            "http://0.0.0.0",
            "http://[::]",
            "http://224.0.0.1",
            "http://100.100.100.200",
            "http://shop.internal",
            "http://evilshop.internal",
            "http://.shop.internal.example",
        ] {
            assert!(
                text.parse::<Address>().map_err(|_| ()).and_then(|a| open.check(&a).map_err(|_| ())).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn networks_are_read_and_compared_by_their_beginning() {
        let is_in =
            |network: &str, ip: &str| network.parse::<Network>().unwrap().contains(ip.parse().unwrap());
        assert!(is_in("172.16.0.0/12", "172.31.255.255") && !is_in("172.16.0.0/12", "172.32.0.0"));
        assert!(is_in("0.0.0.0/0", "1.2.3.4") && !is_in("0.0.0.0/0", "::1"));
        assert!(is_in("fc00::/7", "fd00::1") && !is_in("fc00::/7", "fe00::1"));
        for wrong in ["10.0.0.0", "10.0.0.0/33", "x/8", "::/129"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
