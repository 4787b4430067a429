//! `[registration]` of `guichet.toml`: where providers that register themselves may answer, and which are expected.

use guichet_contract::Reach;
use guichet_operations::register_instance::is_name;
use serde::Deserialize;
use toml::Spanned;

/// Providers that register themselves.
#[derive(Debug, Clone, Default)]
pub struct Registration {
    /// Where they may answer.
    pub reach: Reach,
    /// Names of which policies may speak before anybody has registered them.
    pub expects: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRegistration {
    networks: Option<Vec<Spanned<String>>>,
    hosts: Option<Vec<Spanned<String>>>,
    insecure: bool,
    expects: Vec<Spanned<String>>,
}

/// What is wrong is told to `fault`, with its place.
pub(crate) fn registration(raw: RawRegistration, mut fault: impl FnMut(usize, String)) -> Registration {
    let mut reach = Reach { insecure: raw.insecure, ..Reach::default() };
    if let Some(networks) = raw.networks {
        reach.networks.clear();
        for network in networks {
            match network.get_ref().parse() {
                Ok(network) => reach.networks.push(network),
                Err(why) => fault(network.span().start, why),
            }
        }
    }
    if let Some(hosts) = raw.hosts {
        reach.hosts.clear();
        for host in hosts {
            let at = host.span().start;
            let host = host.into_inner().to_ascii_lowercase();
            if is_pattern(&host) {
                reach.hosts.push(host);
            } else {
                fault(
                    at,
                    format!("`{host}` is no host: write a name, or `*.` and a zone of two labels or more"),
                );
            }
        }
    }
    let mut expects = Vec::new();
    for name in raw.expects {
        if !is_name(name.get_ref()) {
            fault(name.span().start, "a provider is named with a–z, 0–9 and -, 1–50 characters".to_owned());
        }
        expects.push(name.into_inner());
    }
    Registration { reach, expects }
}

/// `*.internal` would be every name of a whole top-level zone.
fn is_pattern(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    match host.strip_prefix("*.") {
        Some(zone) => zone.contains('.') && zone.split('.').all(is_label),
        None => host.split('.').all(is_label),
    }
}
